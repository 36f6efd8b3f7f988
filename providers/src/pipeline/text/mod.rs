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

/// The text in words; empty if nothing of it can be said.
pub(super) fn spoken(text: &str, language: Option<Language>) -> String {
    let plain = markup::plain(text);
    let Some(language) = language else { return plain };
    let words = glued(&plain, language);
    words.iter().map(|word| figures::word(word, language)).collect::<Vec<_>>().join(" ")
}

/// Words as they belong together: a sign of money with its amount, a number with its percent sign, an area code with
/// its phone, an hour with its "PM".
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
        match out.last_mut() {
            Some(last) if belongs => last.push_str(word),
            Some(_) | None => out.push(word.to_owned()),
        }
    }
    out
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
            assert_eq!(spoken(text, Some(language)), want, "{text}");
        }
    }

    #[test]
    fn what_is_no_figure_stays_as_it_is() {
        for text in ["COVID-19 e B2B", "a/b", "Olá, tudo bem?", "v1.2.3", "well-known (really)"] {
            assert_eq!(spoken(text, Some(Portuguese)), text);
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
        ] {
            for language in [English, Portuguese, Spanish] {
                let _ = spoken(text, Some(language)).len();
            }
        }
    }
}
