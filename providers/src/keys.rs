//! Keys of the caller, as a model is told of them.

/// In the language of the conversation, as far as we speak it (BCP 47 or its first part).
pub(crate) fn in_words(language: Option<&str>, keys: &str) -> String {
    let primary = language.and_then(|tag| tag.split(['-', '_']).next()).unwrap_or_default();
    match primary.eq_ignore_ascii_case("pt") {
        true => format!("O chamador digitou {keys}"),
        false => format!("The caller pressed {keys}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn portuguese_is_told_by_its_first_part_however_it_is_written() {
        for tag in ["pt", "pt-BR", "PT-br", "pt_PT"] {
            assert_eq!(in_words(Some(tag), "1#"), "O chamador digitou 1#", "{tag}");
        }
        for tag in [None, Some("en-US"), Some("ptx")] {
            assert_eq!(in_words(tag, "1#"), "The caller pressed 1#", "{tag:?}");
        }
    }
}
