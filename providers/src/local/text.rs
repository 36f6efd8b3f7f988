//! Words and sentences of Portuguese and English, folded so that recognisers' spelling matters little.
use super::Language;
use crate::accent;

/// A spoken sentence longer than this is cut at a comma, so that its first part can be heard early.
const LONG_SENTENCE: usize = 220;

/// Lower-case words of ASCII letters and digits; accents are dropped, anything else separates.
pub(super) fn words(text: &str) -> Vec<String> {
    let folded: String = text.chars().flat_map(char::to_lowercase).map(accent::dropped).collect();
    folded.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// The folded words joined by single spaces, with one at each end: a phrase is looked for as `" word word "`.
pub(super) fn padded(words: &[String]) -> String {
    format!(" {} ", words.join(" "))
}

/// A crude stem of a folded word: inflections that callers vary are cut, never below three letters.
pub(super) fn stem(word: &str, language: Language) -> String {
    const PT: &[&str] = &[
        "amentos", "imentos", "amento", "imento", "mente", "acoes", "acao", "icoes", "icao", "oes", "aram", "eram",
        "iram", "ando", "endo", "indo", "adas", "ados", "idas", "idos", "aria", "eria", "iria", "ada", "ado", "ida",
        "ido", "ava", "ais", "eis", "ois", "ar", "er", "ir", "am", "em", "as", "os", "es", "ou", "ei", "a", "o", "e",
        "s",
    ];
    const EN: &[&str] = &[
        "ations", "ation", "ments", "ment", "ings", "ing", "ies", "ied", "ers", "er", "es", "ed", "ly", "y", "e", "s",
    ];
    let suffixes = match language {
        Language::PtBr => PT,
        Language::EnUs => EN,
    };
    let cut = suffixes.iter().find_map(|suffix| word.strip_suffix(suffix).filter(|rest| rest.len() >= 3));
    cut.unwrap_or(word).to_owned()
}

/// How alike two folded words are, 0 to 1 (Dice over pairs of letters): recognisers misspell names.
pub(super) fn likeness(a: &str, b: &str) -> f32 {
    let pairs = |word: &str| word.as_bytes().windows(2).map(<[u8]>::to_vec).collect::<Vec<_>>();
    let (left, mut right) = (pairs(a), pairs(b));
    let total = left.len() + right.len();
    if total == 0 {
        return if a == b { 1.0 } else { 0.0 };
    }
    let mut shared = 0_usize;
    for pair in left {
        if let Some(at) = right.iter().position(|other| *other == pair) {
            right.swap_remove(at);
            shared += 1;
        }
    }
    (2 * shared) as f32 / total as f32
}

/// Sentences of a text, each to be spoken on its own. Abbreviations ("Av. Brasil") and decimals do not end one.
pub(super) fn sentences(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut sentence = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\n' {
            finish(&mut sentence, &mut out);
            continue;
        }
        sentence.push(c);
        let followed_by_space = chars.peek().is_none_or(|next| next.is_whitespace());
        let ends = matches!(c, '!' | '?' | '…') || (c == '.' && !is_abbreviation(&sentence));
        let long = matches!(c, ',' | ';' | ':') && sentence.len() > LONG_SENTENCE;
        if followed_by_space && (ends || long) {
            finish(&mut sentence, &mut out);
        }
    }
    finish(&mut sentence, &mut out);
    out
}

fn finish(sentence: &mut String, out: &mut Vec<String>) {
    let whole = std::mem::take(sentence);
    let trimmed = whole.trim();
    if trimmed.chars().any(char::is_alphanumeric) {
        out.push(trimmed.to_owned());
    }
}

/// Whether the text ends in a word that is written with a full stop inside a sentence.
fn is_abbreviation(text: &str) -> bool {
    const SHORT: &[&str] =
        &["av", "dr", "dra", "sr", "sra", "srta", "prof", "eng", "tel", "ex", "mr", "mrs", "ms", "st", "no", "al"];
    let word = text.trim_end_matches('.').rsplit(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
    let lower = word.to_lowercase();
    SHORT.contains(&lower.as_str()) || (word.chars().count() == 1 && word.chars().all(char::is_uppercase))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_folded() {
        assert_eq!(words("Às 9h, na AV. São João?"), ["as", "9h", "na", "av", "sao", "joao"]);
        assert_eq!(words("  …  "), Vec::<String>::new());
    }

    #[test]
    fn sentences_end_where_a_speaker_would_stop() {
        for (text, want) in [
            ("Olá! Abrimos às 9.30 horas. Até logo", vec!["Olá!", "Abrimos às 9.30 horas.", "Até logo"]),
            ("Fica na Av. Brasil, com o Dr. J. Souza.", vec!["Fica na Av. Brasil, com o Dr. J. Souza."]),
            ("one\ntwo. ", vec!["one", "two."]),
            (" . ! ", vec![]),
        ] {
            assert_eq!(sentences(text), want, "{text}");
        }
        let long = format!("{}, and the rest.", "word ".repeat(50));
        assert_eq!(sentences(&long).len(), 2, "a long sentence is cut at its comma");
    }

    #[test]
    fn stems_join_inflections() {
        for (a, b) in
            [("horarios", "horario"), ("consultas", "consulta"), ("agendar", "agendamento"), ("abrem", "abre")]
        {
            assert_eq!(stem(a, Language::PtBr), stem(b, Language::PtBr), "{a} {b}");
        }
        for (a, b) in [("opening", "opens"), ("parking", "park"), ("payments", "pay"), ("closed", "close")] {
            assert_eq!(stem(a, Language::EnUs), stem(b, Language::EnUs), "{a} {b}");
        }
    }

    #[test]
    fn likeness_forgives_a_misheard_letter() {
        assert!(likeness("financeiro", "financero") > 0.7);
        assert!(likeness("suporte", "vendas") < 0.3);
        assert_eq!(likeness("a", "a"), 1.0);
    }
}
