//! What nobody needs to read again: numbers of payment cards, and e-mail addresses, as a recogniser writes them down. PURE.
use super::{Speaker, TurnRecord};

/// Stands for the number of a card, or for a part of it.
const CARD: &str = "[card]";
/// Stands for an e-mail address.
const EMAIL: &str = "[e-mail]";
/// Digits of a card (ISO/IEC 7812): the last is a check digit. Thirteen were Visa's once, and are a mobile telephone's of Brazil
/// with its country.
const CARD_DIGITS: std::ops::RangeInclusive<usize> = 14..=19;
/// ", " and " - " are as much as stands between two groups of digits.
const GAP: usize = 3;
/// Whoever goes on in another turn may say so much before: "sim, e depois".
const BETWEEN_TURNS: usize = 40;
/// How an at sign is spoken.
const AT: [&str; 3] = ["arroba", "at", "@"];
/// How a dot is spoken.
const DOT: [&str; 4] = ["ponto", "punto", "dot", "."];

/// Takes them out of what was said. A number that fails the check digit of cards is kept: it is a telephone's, or a price.
pub fn redact(turns: &mut [TurnRecord]) {
    for who in [Speaker::Caller, Speaker::Assistant] {
        let mut said: Vec<&mut String> =
            turns.iter_mut().filter(|turn| turn.who == who).map(|turn| &mut turn.text).collect();
        redact_texts(&mut said);
    }
}

/// The same of what one of them said, turn after turn: a card is read in groups, and somebody says "yes" between them.
fn redact_texts(said: &mut [&mut String]) {
    let mut groups = groups(said);
    let mut found = windows(&mut groups, |first, last| first == last);
    found.extend(windows(&mut groups, |first, last| first != last));
    // From the last on, so that what is before them stays where it is.
    found.sort_unstable_by_key(|(turn, from, _)| std::cmp::Reverse((*turn, *from)));
    for (turn, from, to) in found {
        if let Some(text) = said.get_mut(turn) {
            text.replace_range(from..to, CARD);
        }
    }
    for text in said {
        **text = emails(text);
    }
}

/// Digits without anything between them.
struct Group {
    turn: usize,
    /// Where they are in the text of their turn, in bytes.
    from: usize,
    to: usize,
    digits: Vec<u32>,
    /// Whether they may go on with the number of the group before.
    goes_on: bool,
    /// Whether they are part of a number that was found.
    taken: bool,
}

fn groups(said: &[&mut String]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    // What was said since the last digit: how much, and whether anything but what separates digits.
    let (mut since, mut words) = (0, false);
    for (turn, text) in said.iter().enumerate() {
        let (mut same_turn, mut open) = (false, false);
        for (at, character) in text.char_indices() {
            let Some(digit) = character.to_digit(10) else {
                open = false;
                since += 1;
                words |= !matches!(character, ' ' | '.' | ',' | '-' | '–');
                continue;
            };
            match groups.last_mut().filter(|_| open) {
                Some(group) => {
                    group.to = at + 1;
                    group.digits.push(digit);
                }
                None => {
                    let goes_on = if same_turn { since <= GAP && !words } else { since <= BETWEEN_TURNS };
                    groups.push(Group { turn, from: at, to: at + 1, digits: vec![digit], goes_on, taken: false });
                }
            }
            (open, since, same_turn, words) = (true, 0, true, false);
        }
    }
    groups
}

/// Takes the longest numbers of cards that begin and end with a group, where the turns of both are as they are asked for. Returns
/// where they are, a part for each turn.
fn windows(groups: &mut [Group], turns: fn(usize, usize) -> bool) -> Vec<(usize, usize, usize)> {
    let (mut found, mut at) = (Vec::new(), 0);
    while let Some(rest) = groups.get(at..).filter(|rest| !rest.is_empty()) {
        let length = card(rest, turns).unwrap_or(0);
        let mut parts: Vec<(usize, usize, usize)> = Vec::new();
        for group in groups.iter_mut().skip(at).take(length) {
            group.taken = true;
            match parts.last_mut() {
                Some((turn, _, to)) if *turn == group.turn => *to = group.to,
                Some(_) | None => parts.push((group.turn, group.from, group.to)),
            }
        }
        found.extend(parts);
        at += length.max(1);
    }
    found
}

/// How many of these groups, from the first, are the longest number of a card.
fn card(groups: &[Group], turns: fn(usize, usize) -> bool) -> Option<usize> {
    let first = groups.first()?;
    let (mut digits, mut found) = (Vec::new(), None);
    for (before, group) in groups.iter().enumerate() {
        let ends = group.taken || (before > 0 && !group.goes_on);
        if ends || digits.len() + group.digits.len() > *CARD_DIGITS.end() {
            break;
        }
        digits.extend(&group.digits);
        if turns(first.turn, group.turn) && CARD_DIGITS.contains(&digits.len()) && checks(&digits) {
            found = Some(before + 1);
        }
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
    use std::time::Duration;

    fn redacted(text: &str) -> String {
        let mut text = text.to_owned();
        redact_texts(&mut [&mut text]);
        text
    }

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
    fn a_card_that_is_read_in_several_turns_goes() {
        for (said, kept) in [
            (&["é 4111 1111", "1111 1111, tá?"][..], &["é [card]", "[card], tá?"][..]),
            (&["4111", "hum", "e depois 1111 1111", "1111."], &["[card]", "hum", "e depois [card]", "[card]."]),
            (&["5500 0000 0000 0004", "validade 10 29"], &["[card]", "validade 10 29"]),
            // What is a card by itself is not made part of another.
            (&["ramal 9999", "4111 1111 1111 1111"], &["ramal 9999", "[card]"]),
            (&["4111 1111", "1111 1112"], &["4111 1111", "1111 1112"]),
            (
                &["meu telefone é 11 99999-0000", "e o CPF 111.444.777-35"],
                &["meu telefone é 11 99999-0000", "e o CPF 111.444.777-35"],
            ),
            (
                &["4111 1111", "espera aí que eu já vou pegar o resto dele na carteira", "1111 1111"],
                &["4111 1111", "espera aí que eu já vou pegar o resto dele na carteira", "1111 1111"],
            ),
        ] {
            let mut texts: Vec<String> = said.iter().map(|text| (*text).to_owned()).collect();
            redact_texts(&mut texts.iter_mut().collect::<Vec<_>>());
            assert_eq!(texts, kept);
        }
    }

    #[test]
    fn the_turns_of_the_other_are_not_between() {
        let turn = |who, text: &str| TurnRecord {
            who,
            text: text.into(),
            at: Duration::ZERO,
            heard: None,
            cut: false,
            latency: None,
            waterfall: None,
        };
        let mut turns = [
            turn(Speaker::Caller, "4111 1111"),
            turn(Speaker::Assistant, "Anotei 4111 1111. Pode continuar, estou ouvindo com toda a atenção."),
            turn(Speaker::Caller, "1111 1111"),
        ];
        redact(&mut turns);
        let texts = turns.map(|turn| turn.text);
        let want = ["[card]", "Anotei 4111 1111. Pode continuar, estou ouvindo com toda a atenção.", "[card]"];
        assert_eq!(texts, want);
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
