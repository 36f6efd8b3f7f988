//! What is written for eyes and not to be heard: markdown, emoji, addresses of the web.
use super::Language;

/// The text without markdown and emoji, its links by their names.
pub(super) fn plain(text: &str) -> String {
    let lines = text.lines().map(line).filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join(" ")
}

fn line(line: &str) -> String {
    let mut text = line.trim();
    if text.chars().all(|c| matches!(c, '-' | '*' | '_' | '=' | '|' | ':' | ' ' | '`')) {
        return String::new();
    }
    text = text.trim_start_matches(['#', '>']).trim_start();
    for bullet in ["- ", "* ", "+ ", "• "] {
        text = text.strip_prefix(bullet).unwrap_or(text);
    }
    let kept: String = links(text).chars().filter(|c| !is_mark(*c) && !is_picture(*c)).collect();
    kept.replace('|', " ").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// `[name](address)` is its name.
fn links(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(open) = rest.find('[') {
        let (before, tail) = rest.split_at(open);
        out.push_str(before.strip_suffix('!').unwrap_or(before));
        let tail = tail.get(1..).unwrap_or_default();
        let parts = tail.split_once("](").and_then(|(name, after)| Some((name, after.split_once(')')?.1)));
        match parts {
            Some((name, after)) if !name.contains('[') => {
                out.push_str(name);
                rest = after;
            }
            Some(_) | None => {
                out.push('[');
                rest = tail;
            }
        }
    }
    out.push_str(rest);
    out
}

const fn is_mark(c: char) -> bool {
    matches!(c, '*' | '`' | '~' | '[' | ']' | '{' | '}' | '<' | '>' | '\\' | '^')
}

/// Emoji, arrows, dingbats and what joins them.
const fn is_picture(c: char) -> bool {
    matches!(c,
        '\u{200d}' | '\u{20e3}' | '\u{2190}'..='\u{21ff}' | '\u{2300}'..='\u{23ff}' | '\u{2500}'..='\u{27bf}'
        | '\u{2900}'..='\u{297f}' | '\u{2b00}'..='\u{2bff}' | '\u{fe00}'..='\u{fe0f}' | '\u{1f000}'..='\u{1faff}'
        | '\u{e0000}'..='\u{e007f}')
}

/// An address of the web or of mail as it is read out; `None` if the word is neither.
pub(super) fn address(word: &str, language: Language) -> Option<String> {
    let [dot, at, slash, dash, underscore] = match language {
        Language::English => ["dot", "at", "slash", "dash", "underscore"],
        Language::Portuguese => ["ponto", "arroba", "barra", "traço", "sublinhado"],
        Language::Spanish => ["punto", "arroba", "barra", "guion", "guion bajo"],
    };
    let stripped = ["https://", "http://"].iter().find_map(|scheme| word.strip_prefix(scheme));
    let is_web = stripped.is_some() || word.starts_with("www.");
    let is_mail = word.split_once('@').is_some_and(|(who, host)| !who.is_empty() && host.contains('.'));
    if !is_web && !is_mail {
        return None;
    }
    let shown = stripped.unwrap_or(word).split(['?', '#']).next().unwrap_or_default().trim_end_matches('/');
    let mut out = String::new();
    for c in shown.chars() {
        match c {
            '.' => out.push_str(&format!(" {dot} ")),
            '@' => out.push_str(&format!(" {at} ")),
            '/' => out.push_str(&format!(" {slash} ")),
            '-' => out.push_str(&format!(" {dash} ")),
            '_' => out.push_str(&format!(" {underscore} ")),
            other => out.push(other),
        }
    }
    Some(out.split_whitespace().collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_and_pictures_are_not_read_out() {
        for (text, want) in [
            ("**Olá!** 😀 Tudo `bem`?", "Olá! Tudo bem?"),
            ("# Prices\n- one\n* two\n---\n", "Prices one two"),
            ("See [our page](https://x.example/a) now", "See our page now"),
            ("a [b] c", "a b c"),
            ("| a | b |\n|---|---|", "a b"),
            ("👍🏽", ""),
        ] {
            assert_eq!(plain(text), want, "{text}");
        }
    }

    #[test]
    fn addresses_are_spelled_out() {
        for (word, language, want) in [
            (
                "https://www.acme.com.br/precos?a=1",
                Language::Portuguese,
                Some("www ponto acme ponto com ponto br barra precos"),
            ),
            ("ana@acme.com", Language::Spanish, Some("ana arroba acme punto com")),
            ("www.my-shop.com", Language::English, Some("www dot my dash shop dot com")),
            ("hello", Language::English, None),
            ("@ana", Language::English, None),
        ] {
            assert_eq!(address(word, language).as_deref(), want, "{word}");
        }
    }
}
