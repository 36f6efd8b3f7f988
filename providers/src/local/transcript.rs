//! What a small recogniser wrote, made fit to be believed.
use super::text;

/// Longest repeated unit looked for, in words.
const LONGEST_UNIT: usize = 16;
/// A few words said this many times in a row are a decoder loop, not a caller.
const LOOP: usize = 4;
/// From this many words on, saying them twice is a loop: nobody repeats a sentence word for word in one breath.
const SENTENCE: usize = 5;

/// Removes what no caller says: sound labels (`[Música]`, `(silence)`), subtitles' credits that Whisper writes over
/// silence, and loops of its decoder. Empty when nothing remains.
pub fn clean(text: &str) -> String {
    let unlabelled = without_brackets(text);
    let collapsed = without_loops(&unlabelled);
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
            ("I said no. I said no.", "I said no. I said no."),
            ("Hello the the the the the the end", "Hello the end"),
        ] {
            assert_eq!(clean(wrote), said, "{wrote}");
        }
    }
}
