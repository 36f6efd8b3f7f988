//! Whole numbers in words.
use super::Language;

/// Which form a number takes before what it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gender {
    Masculine,
    Feminine,
}

/// The number in words, or its digits where it is too long for anybody to listen to.
pub(super) fn cardinal(number: u64, language: Language, gender: Gender) -> String {
    match (number, language) {
        (1_000_000_000_000.., _) => digits(&number.to_string(), language),
        (_, Language::English) => english(number),
        (_, Language::Portuguese) => portuguese(number, gender),
        (_, Language::Spanish) => spanish(number, gender),
    }
}

/// Each digit by itself: phones, codes.
pub(super) fn digits(text: &str, language: Language) -> String {
    let words = text.bytes().filter_map(|byte| small(language).get(usize::from(byte.checked_sub(b'0')?)).copied());
    words.collect::<Vec<_>>().join(" ")
}

/// Names of 0 to 19, or to 29 in Spanish.
#[expect(clippy::too_many_lines, reason = "a table")]
fn small(language: Language) -> &'static [&'static str] {
    match language {
        Language::English => &[
            "zero",
            "one",
            "two",
            "three",
            "four",
            "five",
            "six",
            "seven",
            "eight",
            "nine",
            "ten",
            "eleven",
            "twelve",
            "thirteen",
            "fourteen",
            "fifteen",
            "sixteen",
            "seventeen",
            "eighteen",
            "nineteen",
        ],
        Language::Portuguese => &[
            "zero",
            "um",
            "dois",
            "três",
            "quatro",
            "cinco",
            "seis",
            "sete",
            "oito",
            "nove",
            "dez",
            "onze",
            "doze",
            "treze",
            "quatorze",
            "quinze",
            "dezesseis",
            "dezessete",
            "dezoito",
            "dezenove",
        ],
        Language::Spanish => &[
            "cero",
            "uno",
            "dos",
            "tres",
            "cuatro",
            "cinco",
            "seis",
            "siete",
            "ocho",
            "nueve",
            "diez",
            "once",
            "doce",
            "trece",
            "catorce",
            "quince",
            "dieciséis",
            "diecisiete",
            "dieciocho",
            "diecinueve",
            "veinte",
            "veintiuno",
            "veintidós",
            "veintitrés",
            "veinticuatro",
            "veinticinco",
            "veintiséis",
            "veintisiete",
            "veintiocho",
            "veintinueve",
        ],
    }
}

fn name(words: &[&'static str], at: u64) -> &'static str {
    usize::try_from(at).ok().and_then(|at| words.get(at)).copied().unwrap_or_default()
}

fn english(number: u64) -> String {
    const TENS: [&str; 10] = ["", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];
    let rest = |text: String, rest: u64| if rest == 0 { text } else { format!("{text} {}", english(rest)) };
    match number {
        0..20 => name(small(Language::English), number).to_owned(),
        20..100 if number.is_multiple_of(10) => name(&TENS, number / 10).to_owned(),
        20..100 => format!("{}-{}", name(&TENS, number / 10), english(number % 10)),
        100..1_000 => rest(format!("{} hundred", english(number / 100)), number % 100),
        1_000..1_000_000 => rest(format!("{} thousand", english(number / 1_000)), number % 1_000),
        1_000_000..1_000_000_000 => rest(format!("{} million", english(number / 1_000_000)), number % 1_000_000),
        1_000_000_000.. => rest(format!("{} billion", english(number / 1_000_000_000)), number % 1_000_000_000),
    }
}

fn portuguese(number: u64, gender: Gender) -> String {
    const TENS: [&str; 10] =
        ["", "", "vinte", "trinta", "quarenta", "cinquenta", "sessenta", "setenta", "oitenta", "noventa"];
    const HUNDREDS: [&str; 10] = [
        "",
        "cento",
        "duzentos",
        "trezentos",
        "quatrocentos",
        "quinhentos",
        "seiscentos",
        "setecentos",
        "oitocentos",
        "novecentos",
    ];
    let small_one = |number| match (number, gender) {
        (1, Gender::Feminine) => "uma",
        (2, Gender::Feminine) => "duas",
        _ => name(small(Language::Portuguese), number),
    };
    // Before a multiple of a hundred, or less than a hundred, the thousands take an "e".
    let joined = |head: String, rest: u64| match rest {
        0 => head,
        1..=100 => format!("{head} e {}", portuguese(rest, gender)),
        _ if rest < 1_000 && rest.is_multiple_of(100) => format!("{head} e {}", portuguese(rest, gender)),
        _ => format!("{head} {}", portuguese(rest, gender)),
    };
    let many = |count: u64, one: &str, more: &str| match count {
        1 => format!("um {one}"),
        _ => format!("{} {more}", portuguese(count, Gender::Masculine)),
    };
    match number {
        0..20 => small_one(number).to_owned(),
        20..100 if number.is_multiple_of(10) => name(&TENS, number / 10).to_owned(),
        20..100 => format!("{} e {}", name(&TENS, number / 10), small_one(number % 10)),
        100 => "cem".to_owned(),
        101..1_000 => {
            let hundred = name(&HUNDREDS, number / 100);
            let hundred = match gender {
                Gender::Feminine if number >= 200 => feminine(hundred),
                Gender::Feminine | Gender::Masculine => hundred.to_owned(),
            };
            match number % 100 {
                0 => hundred,
                rest => format!("{hundred} e {}", portuguese(rest, gender)),
            }
        }
        1_000..2_000 => joined("mil".to_owned(), number % 1_000),
        2_000..1_000_000 => joined(format!("{} mil", portuguese(number / 1_000, gender)), number % 1_000),
        1_000_000..1_000_000_000 => joined(many(number / 1_000_000, "milhão", "milhões"), number % 1_000_000),
        1_000_000_000.. => joined(many(number / 1_000_000_000, "bilhão", "bilhões"), number % 1_000_000_000),
    }
}

fn spanish(number: u64, gender: Gender) -> String {
    const TENS: [&str; 10] =
        ["", "", "veinte", "treinta", "cuarenta", "cincuenta", "sesenta", "setenta", "ochenta", "noventa"];
    const HUNDREDS: [&str; 10] = [
        "",
        "ciento",
        "doscientos",
        "trescientos",
        "cuatrocientos",
        "quinientos",
        "seiscientos",
        "setecientos",
        "ochocientos",
        "novecientos",
    ];
    let small_one = |number| match (number, gender) {
        (1, Gender::Feminine) => "una",
        (21, Gender::Feminine) => "veintiuna",
        _ => name(small(Language::Spanish), number),
    };
    let rest = |text: String, rest: u64| if rest == 0 { text } else { format!("{text} {}", spanish(rest, gender)) };
    let millions = |count: u64| match count {
        1 => "un millón".to_owned(),
        _ => format!("{} millones", apocope(spanish(count, Gender::Masculine))),
    };
    match number {
        0..30 => small_one(number).to_owned(),
        30..100 if number.is_multiple_of(10) => name(&TENS, number / 10).to_owned(),
        30..100 => format!("{} y {}", name(&TENS, number / 10), small_one(number % 10)),
        100 => "cien".to_owned(),
        101..1_000 => {
            let hundred = name(&HUNDREDS, number / 100);
            let hundred = match gender {
                Gender::Feminine if number >= 200 => feminine(hundred),
                Gender::Feminine | Gender::Masculine => hundred.to_owned(),
            };
            rest(hundred, number % 100)
        }
        1_000..2_000 => rest("mil".to_owned(), number % 1_000),
        2_000..1_000_000 => rest(format!("{} mil", apocope(spanish(number / 1_000, gender))), number % 1_000),
        1_000_000.. => rest(millions(number / 1_000_000), number % 1_000_000),
    }
}

/// Duzentas, doscientas.
fn feminine(hundred: &str) -> String {
    hundred.strip_suffix("os").map_or_else(|| hundred.to_owned(), |stem| format!("{stem}as"))
}

/// Spanish "uno" loses its end before what it counts: veintiún mil, treinta y un euros.
pub(super) fn apocope(words: String) -> String {
    if let Some(stem) = words.strip_suffix("veintiuno") {
        return format!("{stem}veintiún");
    }
    match words.strip_suffix("uno") {
        Some(stem) if stem.is_empty() || stem.ends_with(' ') => format!("{stem}un"),
        Some(_) | None => words,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_said_as_people_say_them() {
        use Gender::{Feminine, Masculine};
        use Language::{English, Portuguese, Spanish};
        let cases: [(u64, Language, Gender, &str); 27] = [
            (0, English, Masculine, "zero"),
            (42, English, Masculine, "forty-two"),
            (115, English, Masculine, "one hundred fifteen"),
            (2_024, English, Masculine, "two thousand twenty-four"),
            (1_000_001, English, Masculine, "one million one"),
            (21, Portuguese, Feminine, "vinte e uma"),
            (100, Portuguese, Masculine, "cem"),
            (101, Portuguese, Masculine, "cento e um"),
            (222, Portuguese, Feminine, "duzentas e vinte e duas"),
            (1_000, Portuguese, Masculine, "mil"),
            (1_100, Portuguese, Masculine, "mil e cem"),
            (1_250, Portuguese, Masculine, "mil duzentos e cinquenta"),
            (2_024, Portuguese, Masculine, "dois mil e vinte e quatro"),
            (2_000, Portuguese, Feminine, "duas mil"),
            (1_000_000, Portuguese, Masculine, "um milhão"),
            (3_500_000, Portuguese, Masculine, "três milhões quinhentos mil"),
            (16, Spanish, Masculine, "dieciséis"),
            (21, Spanish, Feminine, "veintiuna"),
            (31, Spanish, Masculine, "treinta y uno"),
            (100, Spanish, Masculine, "cien"),
            (101, Spanish, Masculine, "ciento uno"),
            (500, Spanish, Feminine, "quinientas"),
            (200, Spanish, Feminine, "doscientas"),
            (1_999, Spanish, Masculine, "mil novecientos noventa y nueve"),
            (21_000, Spanish, Masculine, "veintiún mil"),
            (1_000_000, Spanish, Masculine, "un millón"),
            (2_000_000_000, Spanish, Masculine, "dos mil millones"),
        ];
        for (number, language, gender, words) in cases {
            assert_eq!(cardinal(number, language, gender), words, "{number} {language:?}");
        }
    }

    #[test]
    fn what_nobody_could_follow_is_said_digit_by_digit() {
        assert_eq!(digits("10 9", Language::Spanish), "uno cero nueve");
        assert!(cardinal(u64::MAX, Language::English, Gender::Masculine).starts_with("one eight four"));
    }
}
