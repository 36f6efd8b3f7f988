//! Text as a voice should read it: numbers, money, dates, times, phones, percentages and abbreviations in words, without
//! markdown, emoji and addresses. Portuguese, English and Spanish; of other languages only the markup is taken away.
mod figures;
mod markup;
mod numbers;

/// A language whose figures we can read out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Language {
    English,
    Portuguese,
    Spanish,
}

impl Language {
    /// By the first part of a BCP 47 tag.
    pub(super) fn from_tag(tag: &str) -> Option<Self> {
        match tag.split(['-', '_']).next().unwrap_or_default().to_ascii_lowercase().as_str() {
            "en" => Some(Self::English),
            "pt" => Some(Self::Portuguese),
            "es" => Some(Self::Spanish),
            _ => None,
        }
    }
}

/// The text in words, for the BCP 47 tag of a language; empty if nothing of it can be said.
pub(super) fn spoken(text: &str, tag: Option<&str>) -> String {
    let plain = markup::plain(text);
    let Some(language) = tag.and_then(Language::from_tag) else { return plain };
    let mut words = glued(&plain, language);
    if language == Language::Spanish && tag.is_some_and(has_decimal_point) {
        words.iter_mut().for_each(|word| *word = with_comma(word));
    }
    let next = words.iter().skip(1).map(|next| Some(next.as_str())).chain([None]);
    words.iter().zip(next).map(|(word, next)| figures::word(word, next, language)).collect::<Vec<_>>().join(" ")
}

/// Where Spanish is written as 1,250.50: Mexico, the Caribbean, most of Central America, Peru and the United States.
fn has_decimal_point(tag: &str) -> bool {
    const REGIONS: [&str; 13] = ["419", "BZ", "CU", "DO", "GT", "HN", "MX", "NI", "PA", "PE", "PR", "SV", "US"];
    tag.split(['-', '_']).skip(1).any(|part| REGIONS.contains(&part.to_ascii_uppercase().as_str()))
}

/// The same number as Spain writes it.
fn with_comma(word: &str) -> String {
    let digits_around = |at: usize| {
        let digit = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_digit);
        at.checked_sub(1).is_some_and(|before| digit(word.as_bytes().get(before))) && digit(word.as_bytes().get(at + 1))
    };
    let swapped = word.char_indices().map(|(at, c)| match c {
        '.' if digits_around(at) => ',',
        ',' if digits_around(at) => '.',
        other => other,
    });
    swapped.collect()
}

/// Words as they belong together: a sign of money with its amount and the "million" behind it, a number with its percent
/// sign, an area code with its phone, an hour with its "PM".
fn glued(text: &str, language: Language) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let starts_with_digit = word.starts_with(|c: char| c.is_ascii_digit());
        let half_of_day =
            matches!(word.trim_end_matches(['.', ',', '?', '!']), "AM" | "PM" | "am" | "pm" | "a.m" | "p.m");
        let belongs = out.last().is_some_and(|last| {
            let bare = last.trim_start_matches('(');
            let after_digit = last.ends_with(|c: char| c.is_ascii_digit());
            let money = starts_with_digit && figures::is_currency(bare);
            let percent = word.starts_with(['%', '€']) && after_digit;
            let phone = starts_with_digit && is_code(last) && is_phone_part(word);
            let hour = language == Language::English && half_of_day && after_digit;
            money || percent || phone || hour
        });
        let scale = figures::is_scale(word.trim_end_matches(['.', ',', ';', ':', '?', '!', ')']), language)
            && out.last().is_some_and(|last| is_amount(last) || last.ends_with(" mil"));
        match out.last_mut() {
            Some(last) if belongs => last.push_str(word),
            Some(last) if scale => *last = format!("{last} {word}"),
            Some(_) | None => out.push(word.to_owned()),
        }
    }
    out
}

/// `R$1,5`, and nothing behind it.
fn is_amount(word: &str) -> bool {
    let digits = word.find(|c: char| c.is_ascii_digit()).unwrap_or_default();
    let sign = word.get(..digits).unwrap_or_default().trim_start_matches('(');
    figures::is_currency(sign) && word.ends_with(|c: char| c.is_ascii_digit())
}

/// `(11)`, `+55`, `+55(11)`.
fn is_code(word: &str) -> bool {
    let digits = word.chars().filter(char::is_ascii_digit).count();
    let marked = word.starts_with('+') || (word.starts_with('(') && word.ends_with(')'));
    marked && digits > 0 && word.chars().all(|c| c.is_ascii_digit() || matches!(c, '+' | '(' | ')' | '-'))
}

fn is_phone_part(word: &str) -> bool {
    let bare = word.trim_end_matches(['.', ',', ';', '!', '?']);
    bare.len() >= 2 && bare.chars().all(|c| c.is_ascii_digit() || matches!(c, '-' | '.' | '(' | ')'))
}

#[cfg(test)]
mod tests {
    use super::{Language::*, *};

    #[test]
    fn figures_are_read_out_in_three_languages() {
        let cases = [
            (Portuguese, "Custa R$ 1.250,50.", "Custa mil duzentos e cinquenta reais e cinquenta centavos."),
            (Portuguese, "R$ 1,00 ou R$ 0,05", "um real ou cinco centavos"),
            (
                Portuguese,
                "Dia 25/12/2026, às 14:30.",
                "Dia vinte e cinco de dezembro de dois mil e vinte e seis, às quatorze e trinta.",
            ),
            (Portuguese, "das 9h às 21h", "das nove horas às vinte e uma horas"),
            (Portuguese, "às 9h30", "às nove e trinta"),
            (Portuguese, "01/05", "primeiro de maio"),
            (Portuguese, "Ligue (11) 3333-4444!", "Ligue um um, três três três três, quatro quatro quatro quatro!"),
            (Portuguese, "10 % de 3,5%", "dez por cento de três vírgula cinco por cento"),
            (Portuguese, "O Dr. Souza, na Av. Brasil, 1.500", "O doutor Souza, na avenida Brasil, mil e quinhentos"),
            (Portuguese, "o 2º andar, 1ª porta", "o segundo andar, primeira porta"),
            (English, "It costs $1,250.50.", "It costs one thousand two hundred fifty dollars and fifty cents."),
            (English, "On 12/25/2026 at 2:30 PM.", "On December twenty-fifth, twenty twenty-six at two thirty PM."),
            (English, "at 9:05 or 10:00", "at nine oh five or ten o'clock"),
            (English, "Call +1 555-123-4567.", "Call plus one, five five five, one two three, four five six seven."),
            (English, "100% of 2.5", "one hundred percent of two point five"),
            (English, "Dr. Smith, the 3rd", "doctor Smith, the third"),
            (English, "2026-12-01", "December first, twenty twenty-six"),
            (English, "€20 and £1", "twenty euros and one pound"),
            (Spanish, "Cuesta 1.250,50 €.", "Cuesta mil doscientos cincuenta euros con cincuenta céntimos."),
            (Spanish, "El 01/05/2026 a las 14:30", "El uno de mayo de dos mil veintiséis a las catorce y treinta"),
            (Spanish, "21% para la Sra. Ruiz", "veintiuno por ciento para la señora Ruiz"),
            (Spanish, "$ 21", "veintiún dólares"),
            (Spanish, "a la 1:00", "a la una"),
        ];
        for (language, text, want) in cases {
            assert_eq!(spoken(text, Some(tag(language))), want, "{text}");
        }
    }

    fn tag(language: Language) -> &'static str {
        match language {
            English => "en-US",
            Portuguese => "pt-BR",
            Spanish => "es-ES",
        }
    }

    #[test]
    fn what_stands_around_a_figure_tells_how_it_is_read() {
        let cases = [
            ("en", "No. We are closed. No.", "No. We are closed. No."),
            ("en", "Room No. 12", "Room number twelve"),
            ("en", "$2.5 million, or £3 thousand.", "two point five million dollars, or three thousand pounds."),
            (
                "en",
                "Order 12345678 of 123456",
                "Order one two three four five six seven eight of \
                one hundred twenty-three thousand four hundred fifty-six",
            ),
            ("pt-BR", "R$ 1,5 milhão.", "um vírgula cinco milhão de reais."),
            ("pt-BR", "R$ 10 mil ou (R$ 2 milhões)", "dez mil reais ou (dois milhões de reais)"),
            ("pt-BR", "£200 mil e US$ 1 mil", "duzentas mil libras e mil dólares"),
            ("pt-BR", "em 2 horas, 1 pessoa", "em 2 horas, 1 pessoa"),
            ("pt-BR", "1.250 pessoas, 3,5 quilos, 2.", "1250 pessoas, três vírgula cinco quilos, dois."),
            ("pt-BR", "R$ 10 por 2", "dez reais por dois"),
            ("es", "1 día o 21 días", "1 día o 21 días"),
            ("es", "Cuesta £200.", "Cuesta doscientas libras."),
            ("es-ES", "21 millones, $21 millones", "21 millones, veintiún millones de dólares"),
            ("es-ES", "$2 mil millones", "dos mil millones de dólares"),
            (
                "es-MX",
                "Cuesta $1,250.50, o 2.5%.",
                "Cuesta mil doscientos cincuenta dólares con cincuenta centavos, o \
                dos coma cinco por ciento.",
            ),
            ("es-AR", "2,5%", "dos coma cinco por ciento"),
        ];
        for (tag, text, want) in cases {
            assert_eq!(spoken(text, Some(tag)), want, "{text}");
        }
    }

    #[test]
    fn what_is_no_figure_stays_as_it_is() {
        for text in ["COVID-19 e B2B", "a/b", "Olá, tudo bem?", "v1.2.3", "well-known (really)"] {
            assert_eq!(spoken(text, Some(tag(Portuguese))), text);
        }
        assert_eq!(spoken("**3** Äpfel", None), "3 Äpfel");
    }

    #[test]
    fn nothing_a_model_writes_breaks_it() {
        for text in [
            "R$",
            "$",
            "1/",
            "/1",
            "99/99/9999",
            "25:61",
            "1.2.3,4,5",
            "%",
            "+",
            "()",
            "(1",
            "º",
            "ª1",
            "1h",
            "h1",
            "1:",
            "-5",
            "R$ -3",
            "R$ 1 mil mil",
            "$1 million million",
        ] {
            for language in [English, Portuguese, Spanish] {
                let _ = spoken(text, Some(tag(language))).len();
            }
        }
    }
}
