//! The words of a search, as each database looks for them.
use crate::record;

/// Words of a search that count; a model asks with a sentence at the most.
const MOST: usize = 32;
/// Shorter words say nothing: articles, prepositions. Numbers do.
const SHORTEST: usize = 3;

/// The text search configuration of PostgreSQL that knows the words of a language, by its BCP 47 tag. What it does not know is found
/// as it is written.
pub fn config(language: Option<&str>) -> &'static str {
    match language.and_then(|tag| tag.split('-').next()).map(str::to_ascii_lowercase).as_deref() {
        Some("pt") => "portuguese",
        Some("en") => "english",
        Some("es") => "spanish",
        _ => "simple",
    }
}

/// The words of a question that say something, as they are kept: in lower case, without accents.
pub fn asked(query: &str) -> Vec<String> {
    let words = record::words(query);
    words.split_whitespace().filter(|word| says_something(word)).take(MOST).map(str::to_owned).collect()
}

/// A question for an FTS5 index: whatever has any of these words, or one that begins like it.
pub fn any_of(words: &[String]) -> String {
    words.iter().map(|word| begun(word)).collect::<Vec<_>>().join(" OR ")
}

fn says_something(word: &str) -> bool {
    word.chars().count() >= SHORTEST || word.chars().any(char::is_numeric)
}

/// A word, or how it begins whatever its ending: FTS5 knows no grammar. Letters and digits alone, so that nothing of it is an operator.
fn begun(word: &str) -> String {
    let length = word.chars().count();
    let ending = match length {
        0..=4 => return format!("\"{word}\""),
        5 => 1,
        6..=8 => 2,
        _ => 3,
    };
    let root: String = word.chars().take(length - ending).collect();
    format!("\"{root}\"*")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_language_has_its_configuration_and_another_the_plain_one() {
        for (tag, name) in [("pt-BR", "portuguese"), ("PT", "portuguese"), ("en-US", "english"), ("es", "spanish")] {
            assert_eq!(config(Some(tag)), name);
        }
        assert_eq!((config(Some("de-DE")), config(None), config(Some("pta"))), ("simple", "simple", "simple"));
    }

    #[test]
    fn words_are_asked_for_by_how_they_begin_and_nothing_is_an_operator() {
        let question = asked("Qual é o horário aos SÁBADOS? Sala 7");
        assert_eq!(question, ["qual", "horario", "aos", "sabados", "sala", "7"]);
        assert_eq!(any_of(&question), r#""qual" OR "horar"* OR "aos" OR "sabad"* OR "sala" OR "7""#);
        assert_eq!(any_of(&asked("\" OR * NEAR( ) - é o")), r#""near""#);
        assert!(asked("").is_empty() && asked("?! o a").is_empty());
        assert_eq!(asked(&"palavra ".repeat(100)).len(), MOST);
    }

    #[test]
    fn endings_do_not_matter() {
        let root = |word| any_of(&asked(word)).trim_matches(['"', '*']).to_owned();
        for (asked, written) in
            [("informações", "informacao"), ("sábados", "sabado"), ("preços", "preco"), ("deliveries", "delivery")]
        {
            assert!(written.starts_with(&root(asked)), "{asked}: {}", root(asked));
        }
    }
}
