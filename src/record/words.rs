//! Words as they are looked for. PURE.
use super::Conversation;
use providers::accent;

/// More than this of a conversation is not looked through: hours of talk.
const MOST: usize = 400_000;

/// A text's letters and digits, in lower case and without accents; a space before each word.
pub fn words(text: &str) -> String {
    let letters = text.chars().flat_map(char::to_lowercase).map(accent::dropped);
    let (mut words, mut within) = (String::with_capacity(text.len() + 1), false);
    for letter in letters {
        let is = letter.is_alphanumeric();
        if is {
            if !within {
                words.push(' ');
            }
            words.push(letter);
        }
        within = is;
    }
    words
}

impl Conversation {
    /// The `search_text` column: every word of both sides.
    pub fn words(&self) -> String {
        let mut all = String::new();
        for turn in &self.turns {
            let said = words(&turn.text);
            if all.len() + said.len() > MOST {
                break;
            }
            all.push_str(&said);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_accents_and_punctuation_do_not_matter() {
        assert_eq!(words("Não, quero a 2ª via do BOLETO — já!"), " nao quero a 2ª via do boleto ja");
        assert_eq!(words("' | & ! :* \0"), "");
        assert_eq!(words(""), "");
    }
}
