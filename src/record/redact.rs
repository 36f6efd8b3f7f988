//! What nobody needs to read again: numbers of payment cards, and e-mail addresses, as a recogniser writes them down. PURE.

/// Stands for the number of a card.
const CARD: &str = "[card]";
/// Stands for an e-mail address.
const EMAIL: &str = "[e-mail]";
/// Digits of a card (ISO/IEC 7812): the last is a check digit. Thirteen were Visa's once, and are a mobile telephone's of Brazil
/// with its country.
const CARD_DIGITS: std::ops::RangeInclusive<usize> = 14..=19;
/// How an at sign is spoken.
const AT: [&str; 3] = ["arroba", "at", "@"];
/// How a dot is spoken.
const DOT: [&str; 4] = ["ponto", "punto", "dot", "."];

/// The same text without them. A number that fails the check digit of cards is kept: it is a telephone's, or a price.
pub fn redacted(text: &str) -> String {
    emails(&cards(text))
}

/// Digits of a card stand alone, in groups, or each by itself; between them are spaces, dots, commas or dashes.
fn cards(text: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let (mut kept, mut at) = (String::with_capacity(text.len()), 0);
    while let Some(character) = characters.get(at) {
        let begins =
            character.is_ascii_digit() && !at.checked_sub(1).is_some_and(|before| is_digit(&characters, before));
        match begins.then(|| card(&characters, at)).flatten() {
            Some(end) => {
                kept.push_str(CARD);
                at = end;
            }
            None => {
                kept.push(*character);
                at += 1;
            }
        }
    }
    kept
}

fn is_digit(characters: &[char], at: usize) -> bool {
    characters.get(at).is_some_and(char::is_ascii_digit)
}

/// Where the longest number of a card ends that begins here.
fn card(characters: &[char], begin: usize) -> Option<usize> {
    let (mut digits, mut at, mut found) = (Vec::new(), begin, None);
    let mut gap = 0;
    while let Some(character) = characters.get(at) {
        match character.to_digit(10) {
            Some(digit) => {
                digits.push(digit);
                gap = 0;
                let whole = !is_digit(characters, at + 1);
                if whole && CARD_DIGITS.contains(&digits.len()) && checks(&digits) {
                    found = Some(at + 1);
                }
            }
            // ", " and " - " are as much as stands between two groups.
            None if matches!(character, ' ' | '.' | ',' | '-' | '–') && gap < 3 => gap += 1,
            None => break,
        }
        if digits.len() >= *CARD_DIGITS.end() && found.is_none() {
            break;
        }
        at += 1;
    }
    found
}

/// Luhn's check digit.
fn checks(digits: &[u32]) -> bool {
    let doubled = |(place, digit): (usize, &u32)| match place % 2 {
        0 => *digit,
        _ if *digit > 4 => digit * 2 - 9,
        _ => digit * 2,
    };
    digits.iter().rev().enumerate().map(doubled).sum::<u32>() % 10 == 0 && digits.iter().any(|digit| *digit != 0)
}

/// Written with its sign, or spoken: "ana arroba clinica ponto com ponto br".
fn emails(text: &str) -> String {
    let words: Vec<&str> = text.split_inclusive(char::is_whitespace).collect();
    let (mut kept, mut at) = (String::with_capacity(text.len()), 0);
    while let Some(word) = words.get(at) {
        match written(word).then_some(at + 1).or_else(|| spoken(&words, at)) {
            Some(end) => {
                let last = words.get(end - 1).copied().unwrap_or_default();
                kept.push_str(EMAIL);
                // What ends the sentence, or the line, is not of the address.
                kept.push_str(&last[last.trim_end().trim_end_matches(PUNCTUATION).len()..]);
                at = end;
            }
            None => {
                kept.push_str(word);
                at += 1;
            }
        }
    }
    kept
}

const PUNCTUATION: [char; 8] = ['.', ',', ';', ':', '!', '?', ')', '"'];

fn bare(word: &str) -> &str {
    word.trim().trim_matches(PUNCTUATION)
}

fn written(word: &str) -> bool {
    bare(word).split_once('@').is_some_and(|(name, host)| !name.is_empty() && host.contains('.') && host.len() > 3)
}

/// Where a spoken address ends that begins with this word.
fn spoken(words: &[&str], begin: usize) -> Option<usize> {
    let is = |at: usize, any: &[&str]| {
        words.get(at).is_some_and(|word| any.contains(&word.trim().trim_matches([',', ';']).to_lowercase().as_str()))
    };
    let mut at = begin + 1;
    // The name may have dots of its own: "ana ponto silva".
    while is(at, &DOT) && at < begin + 6 {
        at += 2;
    }
    if !is(at, &AT) || is(begin, &AT) || is(begin, &DOT) {
        return None;
    }
    at += 1;
    let host = bare(words.get(at)?);
    let mut end = at + 1;
    let sentence_ends = |at: usize| words.get(at).is_some_and(|word| word.trim().ends_with(['.', '!', '?']));
    while !sentence_ends(end - 1) && is(end, &DOT) && words.get(end + 1).is_some() {
        end += 2;
    }
    // Without a dot it is somebody "at home".
    (end > at + 1 || host.contains('.')).then_some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_cards_go_and_other_numbers_stay() {
        for (said, kept) in [
            ("O número é 4111 1111 1111 1111, validade 10/29.", "O número é [card], validade 10/29."),
            ("5500000000000004", "[card]"),
            ("4-1-1-1, 1-1-1-1, 1-1-1-1, 1-1-1-1.", "[card]."),
            ("amex 3782 822463 10005 e pronto", "amex [card] e pronto"),
            ("4111 1111 1111 1112", "4111 1111 1111 1112"),
            ("Meu telefone é +55 11 99999-0000.", "Meu telefone é +55 11 99999-0000."),
            ("CPF 111.444.777-35", "CPF 111.444.777-35"),
            ("0000 0000 0000 0000", "0000 0000 0000 0000"),
            ("é 4111 1111 1111 1111 ou 5500 0000 0000 0004", "é [card] ou [card]"),
            ("99994111111111111111", "99994111111111111111"),
            ("", ""),
        ] {
            assert_eq!(redacted(said), kept);
        }
    }

    #[test]
    fn addresses_go_written_or_spoken() {
        for (said, kept) in [
            ("Escreva para ana.silva@clinica.com.br.", "Escreva para [e-mail]."),
            ("é ana arroba clinica ponto com ponto br, tá?", "é [e-mail], tá?"),
            ("It is ana dot silva at example dot com\n", "It is [e-mail]\n"),
            ("ana arroba gmail.com", "[e-mail]"),
            ("I am at home. Dot your i.", "I am at home. Dot your i."),
            ("Look at Ana.", "Look at Ana."),
            ("me@home", "me@home"),
            ("a, b@c", "a, b@c"),
        ] {
            assert_eq!(redacted(said), kept);
        }
    }

    #[test]
    fn any_text_is_a_text() {
        for text in
            ["@", "arroba", "x arroba", "x arroba y ponto", "ponto arroba ponto", "4", "é4é", "\u{301}4111", "at at at"]
        {
            let _ = redacted(text);
        }
        let long = "4 ".repeat(10_000);
        assert!(redacted(&long).len() <= long.len());
    }
}
