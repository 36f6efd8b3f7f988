//! The lexical rules headers share (RFC 3261 §25.1): tokens, quoted strings, lists, printable values.
use std::borrow::Cow;

/// Whether `text` is a non-empty `token`.
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&b))
}

/// `value` fit for one header line: control characters become spaces, outer white space goes.
///
/// Every value passes here on its way into a message, so none can bring a CR or LF to the wire.
pub(crate) fn one_line(value: &str) -> Cow<'_, str> {
    let trimmed = value.trim();
    if !trimmed.contains(|c: char| c.is_control() && c != '\t') {
        return Cow::Borrowed(trimmed);
    }
    let spaced: String = trimmed.chars().map(|c| if c.is_control() && c != '\t' { ' ' } else { c }).collect();
    Cow::Owned(spaced.trim().to_owned())
}

/// The pieces of `text` between `separator`s that stand outside quoted strings and angle brackets, trimmed.
pub(crate) fn split_list(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        match find_outside(text, separator) {
            Some(at) => {
                rest = text.get(at + separator.len_utf8()..);
                text.get(..at).map(str::trim)
            }
            None => {
                rest = None;
                Some(text.trim())
            }
        }
    })
}

/// Where `wanted` first stands outside quoted strings and angle brackets.
fn find_outside(text: &str, wanted: char) -> Option<usize> {
    let (mut quoted, mut escaped, mut bracketed) = (false, false, false);
    for (at, c) in text.char_indices() {
        if escaped {
            escaped = false;
            continue;
        }
        match c {
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '<' if !quoted => bracketed = true,
            '>' if !quoted => bracketed = false,
            c if c == wanted && !quoted && !bracketed => return Some(at),
            _ => {}
        }
    }
    None
}

/// Length in bytes of the quoted string at the start of `text`, both quotes included; `None` if it never ends.
pub(crate) fn quoted_length(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in text.strip_prefix('"')?.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Some(at + 2),
            _ => {}
        }
    }
    None
}

/// The content of a quoted string with its escapes resolved; any other text as it is.
pub(crate) fn unquote(text: &str) -> Cow<'_, str> {
    let Some(inner) = text.strip_prefix('"').and_then(|t| t.strip_suffix('"')) else {
        return Cow::Borrowed(text);
    };
    if !inner.contains('\\') {
        return Cow::Borrowed(inner);
    }
    let mut plain = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        plain.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    Cow::Owned(plain)
}

/// `text` as a quoted string.
pub(crate) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_split_outside_quotes_and_brackets() {
        let text = r#""a,\",b" <sip:x,y@h>;p="1,2" , <sip:z@h>,last"#;
        let pieces: Vec<_> = split_list(text, ',').collect();
        assert_eq!(pieces, [r#""a,\",b" <sip:x,y@h>;p="1,2""#, "<sip:z@h>", "last"]);
    }

    #[test]
    fn quoting_is_undone_by_unquoting() {
        for text in ["", "plain", r#"a "b" c"#, r"back\slash", "ünï"] {
            assert_eq!(unquote(&quote(text)), text);
            assert_eq!(quoted_length(&(quote(text) + " tail")), Some(quote(text).len()));
        }
        assert_eq!(quoted_length(r#""never\""#), None);
    }

    #[test]
    fn values_stay_on_one_line() {
        assert_eq!(one_line(" a\r\nEvil: yes\0 "), "a  Evil: yes");
    }
}
