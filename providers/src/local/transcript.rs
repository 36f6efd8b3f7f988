//! What a small recogniser wrote, made fit to be believed.
use super::text;
use std::ops::Range;

/// Longest repeated unit looked for, in words.
const LONGEST_UNIT: usize = 16;
/// A few words said this many times in a row are a decoder loop, not a caller.
const LOOP: usize = 4;
/// From this many words on, saying them twice is a loop: nobody repeats a sentence word for word in one breath.
const SENTENCE: usize = 5;
/// The same when it is a whole sentence, or all there is: "no, no" and "I can, I can" stay.
const WHOLE_SENTENCE: usize = 3;

/// Removes what no caller says: sound labels (`[Música]`, `(silence)`), subtitles' credits that Whisper writes over
/// silence, and loops of its decoder. Empty when nothing remains.
pub fn clean(text: &str) -> String {
    let unlabelled = without_brackets(text);
    let collapsed = without_loops(&said_once(&unlabelled));
    if is_credit(&collapsed) || !collapsed.chars().any(char::is_alphanumeric) { String::new() } else { collapsed }
}

fn without_brackets(text: &str) -> String {
    let mut depth = 0_usize;
    let mut kept = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '[' | '(' | '<' => depth += 1,
            ']' | ')' | '>' => depth = depth.saturating_sub(1),
            '♪' | '*' => {}
            other if depth == 0 => kept.push(other),
            _ => {}
        }
    }
    kept
}

/// Drops what repeats, whatever its case and punctuation: all of the text said twice or more often, or sentences of it in
/// a row. Figures stay, since a number may well repeat itself.
pub(super) fn said_once(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let keys: Vec<String> = words.iter().map(|word| text::words(word).concat()).collect();
    let is_whole = |range: Range<usize>| {
        let told = keys.get(range).unwrap_or_default();
        let spoken = told.iter().filter(|key| key.chars().any(char::is_alphabetic)).count();
        spoken >= WHOLE_SENTENCE
    };
    let half = words.len() / 2;
    for unit in WHOLE_SENTENCE..=half {
        let even = words.len().is_multiple_of(unit);
        if even && is_whole(0..unit) && repeats(&keys, unit) == words.len() / unit {
            return words.get(..unit).unwrap_or_default().join(" ");
        }
    }
    let mut out: Vec<&str> = Vec::with_capacity(words.len());
    let mut last = 0..0;
    let mut start = 0;
    for end in (1..=words.len()).filter(|end| *end == words.len() || ends_sentence(&words, *end)) {
        if keys.get(last.clone()) != keys.get(start..end) || !is_whole(start..end) {
            out.extend(words.get(start..end).unwrap_or_default());
        }
        last = start..end;
        start = end;
    }
    out.join(" ")
}

fn ends_sentence(words: &[&str], end: usize) -> bool {
    end.checked_sub(1).and_then(|last| words.get(last)).is_some_and(|word| word.ends_with(['.', '?', '!', '…']))
}

fn without_loops(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let keys: Vec<String> = words.iter().map(|word| text::words(word).concat()).collect();
    let mut out: Vec<&str> = Vec::with_capacity(words.len());
    let mut at = 0;
    while let Some(word) = words.get(at) {
        let found = (1..=LONGEST_UNIT).find_map(|unit| {
            let times = repeats(keys.get(at..).unwrap_or_default(), unit);
            let looping = if unit >= SENTENCE { 2 } else { LOOP };
            (times >= looping).then_some((unit, times))
        });
        match found {
            Some((unit, times)) => {
                out.extend(words.get(at..at + unit).unwrap_or_default());
                at += unit * times;
            }
            None => {
                out.push(word);
                at += 1;
            }
        }
    }
    out.join(" ")
}

/// How often the first `unit` words stand in a row at the start of `words`.
fn repeats(words: &[String], unit: usize) -> usize {
    let Some(first) = words.get(..unit) else { return 0 };
    words.chunks_exact(unit).take_while(|chunk| *chunk == first).count()
}

fn is_credit(text: &str) -> bool {
    const CREDITS: &[&str] = &[
        " amara org ",
        " legendas pela comunidade ",
        " obrigado por assistir ",
        " inscreva se no canal ",
        " thanks for watching ",
        " thank you for watching ",
        " subtitles by ",
        " please subscribe ",
    ];
    let padded = text::padded(&text::words(text));
    CREDITS.iter().any(|credit| padded.contains(credit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_said_remains() {
        for (wrote, said) in [
            (" Qual o horário? ", "Qual o horário?"),
            ("[Música]", ""),
            ("(silence) Hello.", "Hello."),
            ("...", ""),
            ("Legendas pela comunidade Amara.org", ""),
            ("Thank you for watching!", ""),
            ("sim sim", "sim sim"),
            ("não, não, não", "não, não, não"),
            ("Está bom. Está bom. Está bom. Está bom. Está bom.", "Está bom."),
            ("Are you open on Sundays? Are you open on Sundays?", "Are you open on Sundays?"),
            ("I said no. I said no.", "I said no."),
            ("I can, I can", "I can, I can"),
            ("No. No. Not that. Not that.", "No. No. Not that. Not that."),
            (
                "Are you open on Saturdays and Sundays? Are you open on Saturdays and Sundays?",
                "Are you open on Saturdays and Sundays?",
            ),
            ("você abre hoje Você abre hoje? VOCÊ ABRE HOJE!", "você abre hoje"),
            ("Good morning. Where are you? where are you", "Good morning. Where are you?"),
            (
                "Where are you? And when are you open? Where are you?",
                "Where are you? And when are you open? Where are you?",
            ),
            ("1 2 3 1 2 3", "1 2 3 1 2 3"),
            ("Hello the the the the the the end", "Hello the end"),
        ] {
            assert_eq!(clean(wrote), said, "{wrote}");
        }
    }
}
