//! Cuts what a model writes into pieces to be spoken: the first as soon as a clause is complete, the rest by sentences.

/// A first clause has at least so many characters: "Well," alone is not worth a request.
const SHORTEST_FIRST: usize = 12;
/// A sentence longer than this is cut at its next comma.
const LONG: usize = 160;
/// Without any punctuation at all a piece ends at the first space after this.
const LONGEST: usize = 400;

/// Text in, pieces out.
#[derive(Debug, Default)]
pub(super) struct Clauses {
    text: String,
    first_given: bool,
}

impl Clauses {
    /// The pieces that this text completes.
    pub(super) fn push(&mut self, delta: &str) -> Vec<String> {
        self.text.push_str(delta);
        let mut pieces = Vec::new();
        while let Some(end) = self.end() {
            let piece: String = self.text.drain(..end).collect();
            self.give(piece, &mut pieces);
        }
        pieces
    }

    /// What is left when no more text comes.
    pub(super) fn finish(&mut self) -> Option<String> {
        let mut pieces = Vec::new();
        let rest = std::mem::take(&mut self.text);
        self.give(rest, &mut pieces);
        pieces.pop()
    }

    fn give(&mut self, piece: String, pieces: &mut Vec<String>) {
        if piece.chars().any(char::is_alphanumeric) {
            self.first_given = true;
            pieces.push(piece.trim().to_owned());
        }
    }

    /// Where the first piece ends, bytes, if it is complete: what ends it must be followed by a space, so that decimals
    /// and abbreviations in the making do not.
    fn end(&self) -> Option<usize> {
        let mut chars = self.text.char_indices().peekable();
        let mut count = 0_usize;
        while let Some((at, c)) = chars.next() {
            count += 1;
            if c == '\n' && count > 1 {
                return Some(at + 1);
            }
            let (next, follows) = chars.peek().copied()?;
            if !follows.is_whitespace() {
                continue;
            }
            let so_far = self.text.get(..next).unwrap_or_default();
            let ends = match c {
                '!' | '?' | '…' => true,
                // "No. 5" is a number, "No. We are closed." an answer: what follows tells.
                '.' if is_word(so_far, "no") => !chars.clone().nth(1)?.1.is_ascii_digit(),
                '.' => !is_abbreviation(so_far),
                ',' | ';' | ':' | '—' => (!self.first_given && count >= SHORTEST_FIRST) || count >= LONG,
                _ => count >= LONGEST,
            };
            if ends {
                return Some(next);
            }
        }
        None
    }
}

/// Whether the text ends in this word and a full stop.
fn is_word(text: &str, word: &str) -> bool {
    last_word(text).to_lowercase() == word
}

fn last_word(text: &str) -> &str {
    text.trim_end_matches('.').rsplit(|c: char| !c.is_alphanumeric()).next().unwrap_or_default()
}

/// Whether the text ends in a word that is written with a full stop inside a sentence, or in the number of a list.
fn is_abbreviation(text: &str) -> bool {
    const SHORT: &[&str] = &[
        "av", "dr", "dra", "sr", "sra", "srta", "prof", "eng", "tel", "ex", "mr", "mrs", "ms", "st", "al", "approx",
        "vs", "pág", "núm", "ud", "uds", "r",
    ];
    let word = last_word(text);
    let lower = word.to_lowercase();
    let initial = word.chars().count() == 1 && word.chars().all(char::is_uppercase);
    let item = text.trim().trim_end_matches('.') == word && word.chars().all(|c| c.is_ascii_digit());
    SHORT.contains(&lower.as_str()) || initial || item
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str) -> Vec<String> {
        let mut clauses = Clauses::default();
        let mut pieces: Vec<String> = text.split_inclusive(' ').flat_map(|delta| clauses.push(delta)).collect();
        pieces.extend(clauses.finish());
        pieces
    }

    #[test]
    fn speech_begins_after_the_first_clause_and_goes_on_by_sentences() {
        for (text, want) in [
            (
                "Good morning, this is Ana, at the clinic. How can I help?",
                vec!["Good morning,", "this is Ana, at the clinic.", "How can I help?"],
            ),
            ("Sim, claro.", vec!["Sim, claro."]),
            (
                "O Dr. Souza atende às 9.30 horas. Na Av. Brasil.",
                vec!["O Dr. Souza atende às 9.30 horas.", "Na Av. Brasil."],
            ),
            ("1. One\n2. Two\n", vec!["1. One", "2. Two"]),
            ("... !", vec![]),
            ("No. We are closed.", vec!["No.", "We are closed."]),
            ("It is in No. 5 of this street. No.", vec!["It is in No. 5 of this street.", "No."]),
        ] {
            assert_eq!(cut(text), want, "{text}");
        }
    }

    #[test]
    fn endless_text_is_cut_somewhere() {
        assert!(cut(&"word ".repeat(300)).len() >= 3);
        let long = format!("First clause of it, {} and the rest.", "many words, ".repeat(40));
        assert!(cut(&long).iter().all(|piece| piece.chars().count() <= LONG + 20));
    }
}
