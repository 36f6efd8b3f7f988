//! What must not be told again of what a provider said: some quote the key they refuse.

/// The text with what follows each mark, up to where a word ends, left out.
pub(crate) fn redact(text: &str, marks: &[&str]) -> String {
    let mut out = text.to_owned();
    for mark in marks {
        let mut from = 0;
        while let Some(found) = out.get(from..).and_then(|rest| rest.find(mark)) {
            let start = from + found + mark.len();
            let rest = out.get(start..).unwrap_or_default();
            let end = rest.find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ',' | '&'));
            out.replace_range(start..start + end.unwrap_or(rest.len()), "…");
            from = start + '…'.len_utf8();
        }
    }
    out
}

/// The same without this key, wherever it stands; an empty one is none.
pub(crate) fn redact_key(text: &str, key: &str, marks: &[&str]) -> String {
    let text = if key.is_empty() { text.to_owned() } else { text.replace(key, "…") };
    redact(&text, marks)
}
