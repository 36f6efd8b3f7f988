//! One written word with figures in it, in words.
use super::{
    Language, markup,
    numbers::{self, Gender, cardinal},
};
use Gender::{Feminine, Masculine};
use Language::{English, Portuguese, Spanish};

/// The longest number that is said as one.
const LONGEST_NUMBER: usize = 12;
/// So many digits without a separator are a code, said by digits.
const SHORTEST_CODE: usize = 7;
/// So many digits with dashes or an area code are a phone.
const SHORTEST_PHONE: usize = 7;

/// A word as it is said before the next. What is no figure stays as it is, and so does what stands around one.
pub(super) fn word(written: &str, next: Option<&str>, language: Language) -> String {
    let next = next.and_then(|next| next.chars().next());
    let is_answer = written == "No." && !next.is_some_and(|next| next.is_ascii_digit());
    if let Some(said) = abbreviation(written, language).filter(|_| !is_answer) {
        return said;
    }
    if let Some(counted) = count(written, language).filter(|_| next.is_some_and(char::is_alphabetic)) {
        return counted;
    }
    let tail = written.len() - written.trim_end_matches(['.', ',', ';', ':', '!', '?', '"', '»', '”', '…']).len();
    let (core, after) = written.split_at(written.len() - tail);
    if let Some(said) = markup::address(core, language) {
        return said + after;
    }
    let kinds = [phone, money, percent, date, time, ordinal, number];
    if let Some(said) = kinds.iter().find_map(|kind| kind(core, language)) {
        return said + after;
    }
    // Inside brackets or quotes.
    let inner = core.trim_start_matches(['(', '"', '«', '“']).trim_end_matches(')');
    let from = core.find(inner).unwrap_or(0);
    let (before, closing) = (core.get(..from), core.get(from + inner.len()..));
    match (kinds.iter().find_map(|kind| kind(inner, language)), before, closing) {
        (Some(said), Some(before), Some(closing)) if inner.len() < core.len() => {
            format!("{before}{said}{closing}{after}")
        }
        _ => written.to_owned(),
    }
}

fn abbreviation(written: &str, language: Language) -> Option<String> {
    let table: &[(&str, &str)] = match language {
        English => &[
            ("Dr.", "doctor"),
            ("Mr.", "mister"),
            ("Mrs.", "misses"),
            ("Ms.", "miz"),
            ("St.", "street"),
            ("Ave.", "avenue"),
            ("e.g.", "for example"),
            ("i.e.", "that is"),
            ("etc.", "et cetera"),
            ("&", "and"),
            ("No.", "number"),
            ("approx.", "approximately"),
            ("vs.", "versus"),
        ],
        Portuguese => &[
            ("Dr.", "doutor"),
            ("Dra.", "doutora"),
            ("Sr.", "senhor"),
            ("Sra.", "senhora"),
            ("Av.", "avenida"),
            ("R.", "rua"),
            ("Prof.", "professor"),
            ("etc.", "et cetera"),
            ("&", "e"),
            ("nº", "número"),
            ("Tel.", "telefone"),
            ("tel.", "telefone"),
            ("ex.", "exemplo"),
        ],
        Spanish => &[
            ("Dr.", "doctor"),
            ("Dra.", "doctora"),
            ("Sr.", "señor"),
            ("Sra.", "señora"),
            ("Av.", "avenida"),
            ("Avda.", "avenida"),
            ("Ud.", "usted"),
            ("Uds.", "ustedes"),
            ("etc.", "etcétera"),
            ("&", "y"),
            ("n.º", "número"),
            ("Tel.", "teléfono"),
            ("tel.", "teléfono"),
            ("ej.", "ejemplo"),
        ],
    };
    table.iter().find(|(short, _)| *short == written).map(|(_, long)| (*long).to_owned())
}

/// A whole number that may count the next word, in digits: in Portuguese and Spanish its form follows that word's gender,
/// which a voice knows and this table does not.
fn count(written: &str, language: Language) -> Option<String> {
    let (whole, fraction) = parts(written, language)?;
    let is_code = written.len() >= SHORTEST_CODE && !written.contains('.');
    let is_count = language != English && fraction.is_empty() && !written.starts_with('0') && !is_code;
    is_count.then(|| whole.to_string())
}

/// A thousand, a million and so on behind an amount of money.
pub(super) fn is_scale(word: &str, language: Language) -> bool {
    let scales: &[&str] = match language {
        English => &["thousand", "million", "billion", "trillion"],
        Portuguese => &["mil", "milhão", "milhões", "bilhão", "bilhões", "trilhão", "trilhões"],
        Spanish => &["mil", "millón", "millones", "billón", "billones"],
    };
    scales.contains(&word)
}

/// A sign of money as it stands before an amount.
pub(super) fn is_currency(word: &str) -> bool {
    matches!(word, "R$" | "US$" | "$" | "€" | "£")
}

/// One, many, one hundredth, many.
fn names(sign: &str, language: Language) -> Option<[&'static str; 4]> {
    Some(match (sign, language) {
        ("R$", English) => ["real", "reais", "centavo", "centavos"],
        ("R$", Portuguese) => ["real", "reais", "centavo", "centavos"],
        ("R$", Spanish) => ["real", "reales", "centavo", "centavos"],
        ("US$" | "$", English) => ["dollar", "dollars", "cent", "cents"],
        ("US$" | "$", Portuguese) => ["dólar", "dólares", "centavo", "centavos"],
        ("US$" | "$", Spanish) => ["dólar", "dólares", "centavo", "centavos"],
        ("€", English) => ["euro", "euros", "cent", "cents"],
        ("€", Portuguese) => ["euro", "euros", "centavo", "centavos"],
        ("€", Spanish) => ["euro", "euros", "céntimo", "céntimos"],
        ("£", English) => ["pound", "pounds", "penny", "pence"],
        ("£", Portuguese | Spanish) => ["libra", "libras", "penny", "pence"],
        _ => return None,
    })
}

fn money(core: &str, language: Language) -> Option<String> {
    let signs = ["R$", "US$", "$", "€", "£"];
    let (sign, amount) = signs
        .iter()
        .find_map(|sign| Some((*sign, core.strip_prefix(sign)?)))
        .or_else(|| Some(("€", core.strip_suffix('€')?)))?;
    let [one, many, hundredth, hundredths] = names(sign, language)?;
    let gender = if sign == "£" { Feminine } else { Masculine };
    if let Some((figure, scale)) = amount.split_once(' ') {
        return scaled(figure, scale, many, gender, language);
    }
    let (whole, fraction) = parts(amount, language)?;
    let cents = match fraction.len() {
        0 => 0,
        1 => fraction.parse::<u64>().ok()?.checked_mul(10)?,
        2 => fraction.parse().ok()?,
        _ => return None,
    };
    let counted = |count: u64, one: &str, many: &str, gender| {
        let words = cardinal(count, language, gender);
        let words = if language == Spanish { numbers::apocope(words) } else { words };
        // Um milhão de reais, un millón de euros.
        let of = if language != English && count >= 1_000_000 && count.is_multiple_of(1_000_000) { " de" } else { "" };
        format!("{words}{of} {}", if count == 1 { one } else { many })
    };
    let and = match language {
        English => "and",
        Portuguese => "e",
        Spanish => "con",
    };
    let small = || counted(cents, hundredth, hundredths, Masculine);
    Some(match (whole, cents) {
        (0, 1..) => small(),
        (_, 0) => counted(whole, one, many, gender),
        (_, _) => format!("{} {and} {}", counted(whole, one, many, gender), small()),
    })
}

/// Um vírgula cinco milhão de reais, dez mil reais.
fn scaled(figure: &str, scale: &str, many: &str, gender: Gender, language: Language) -> Option<String> {
    let said = match (parts(figure, language)?, scale) {
        ((1, ""), "mil") => String::new(),
        ((whole, ""), "mil") => cardinal(whole, language, gender),
        // Millions are masculine themselves.
        ((whole, ""), _) => cardinal(whole, language, Masculine),
        (_, _) => number(figure, language)?,
    };
    let said = if language == Spanish { numbers::apocope(said) } else { said };
    let of = if language == English || scale.ends_with("mil") { "" } else { " de" };
    Some(format!("{said} {scale}{of} {many}").trim().to_owned())
}

/// Whole part and decimals of a number as this language writes it.
fn parts(text: &str, language: Language) -> Option<(u64, &str)> {
    let (group, decimal) = match language {
        English => (',', '.'),
        Portuguese | Spanish => ('.', ','),
    };
    let (whole, fraction) = match text.split_once(decimal) {
        Some((_, "")) => return None,
        Some(split) => split,
        None => (text, ""),
    };
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let mut groups = whole.split(group);
    let first = groups.next()?;
    let rest: Vec<&str> = groups.collect();
    let grouped = rest.iter().all(|part| part.len() == 3) && (rest.is_empty() || (1..=3).contains(&first.len()));
    let joined: String = std::iter::once(first).chain(rest).collect();
    let fits = grouped && (1..=LONGEST_NUMBER).contains(&joined.len());
    if !fits || !joined.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some((joined.parse().ok()?, fraction))
}

fn number(core: &str, language: Language) -> Option<String> {
    let long = core.len() >= SHORTEST_CODE || (core.len() > 1 && core.starts_with('0'));
    if long && core.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(numbers::digits(core, language));
    }
    let (negative, text) = match core.strip_prefix(['-', '−']) {
        Some(text) => (true, text),
        None => (false, core),
    };
    let (whole, fraction) = parts(text, language)?;
    let mut said = cardinal(whole, language, Masculine);
    if !fraction.is_empty() {
        let point = match language {
            English => "point",
            Portuguese => "vírgula",
            Spanish => "coma",
        };
        let short = fraction.len() <= 2 && !fraction.starts_with('0') && language != English;
        let decimals = match fraction.parse() {
            Ok(value) if short => cardinal(value, language, Masculine),
            Ok(_) | Err(_) => numbers::digits(fraction, language),
        };
        said = format!("{said} {point} {decimals}");
    }
    let minus = if language == Portuguese || language == Spanish { "menos" } else { "minus" };
    Some(if negative { format!("{minus} {said}") } else { said })
}

fn percent(core: &str, language: Language) -> Option<String> {
    let said = number(core.strip_suffix('%')?, language)?;
    let sign = match language {
        English => "percent",
        Portuguese => "por cento",
        Spanish => "por ciento",
    };
    Some(format!("{said} {sign}"))
}

fn phone(core: &str, language: Language) -> Option<String> {
    let marked = core.starts_with('+') || core.starts_with('(') || core.contains('-');
    let digits = core.bytes().filter(u8::is_ascii_digit).count();
    let only = core.chars().all(|c| c.is_ascii_digit() || matches!(c, '+' | '(' | ')' | '-' | '.'));
    if !marked || !only || digits < SHORTEST_PHONE || core.starts_with('-') || iso_date(core).is_some() {
        return None;
    }
    let plus = match (core.starts_with('+'), language) {
        (false, _) => "",
        (true, English) => "plus ",
        (true, Portuguese) => "mais ",
        (true, Spanish) => "más ",
    };
    let rest = core.trim_start_matches('+');
    // "+1555-…" was two words: a country is at most two digits where it cannot be told from what follows.
    let groups = rest.split(|c: char| !c.is_ascii_digit()).filter(|group| !group.is_empty());
    let mut said = Vec::new();
    for (index, group) in groups.enumerate() {
        let country = match (index, plus.is_empty(), group.len()) {
            (0, false, 4) if group.starts_with('1') => 1,
            (0, false, 4..) => 2,
            _ => 0,
        };
        let (code, local) = group.split_at(country);
        said.extend([code, local].iter().filter(|part| !part.is_empty()).map(|part| numbers::digits(part, language)));
    }
    Some(format!("{plus}{}", said.join(", ")))
}

fn iso_date(core: &str) -> Option<(u64, u64, Option<u64>)> {
    let mut fields = core.split('-');
    let (year, month, day) = (fields.next()?, fields.next()?, fields.next()?);
    let shape = year.len() == 4 && month.len() == 2 && day.len() == 2 && fields.next().is_none();
    let date = (day.parse().ok()?, month.parse().ok()?, Some(year.parse().ok()?));
    (shape && (1..=12).contains(&date.1) && (1..=31).contains(&date.0)).then_some(date)
}

fn date(core: &str, language: Language) -> Option<String> {
    let (day, month, year) = match iso_date(core) {
        Some(date) => date,
        None => {
            let mut fields = core.split('/');
            let (first, second, third) = (fields.next()?, fields.next()?, fields.next());
            if fields.next().is_some() || first.is_empty() || first.len() > 2 || second.len() != 2 {
                return None;
            }
            if third.is_some_and(|year| year.len() != 4) {
                return None;
            }
            let (first, second): (u64, u64) = (first.parse().ok()?, second.parse().ok()?);
            let year = third.map(str::parse).transpose().ok()?;
            if language == English { (second, first, year) } else { (first, second, year) }
        }
    };
    let month = *months(language).get(usize::try_from(month).ok()?.checked_sub(1)?)?;
    if !(1..=31).contains(&day) {
        return None;
    }
    Some(match (language, year) {
        (English, None) => format!("{month} {}", ordinal_english(day)),
        (English, Some(year)) => format!("{month} {}, {}", ordinal_english(day), year_english(year)),
        (Portuguese | Spanish, year) => {
            let day = match (language, day) {
                (Portuguese, 1) => "primeiro".to_owned(),
                (_, day) => cardinal(day, language, Masculine),
            };
            let year = year.map(|year| format!(" de {}", cardinal(year, language, Masculine)));
            format!("{day} de {month}{}", year.unwrap_or_default())
        }
    })
}

fn months(language: Language) -> [&'static str; 12] {
    match language {
        English => [
            "January",
            "February",
            "March",
            "April",
            "May",
            "June",
            "July",
            "August",
            "September",
            "October",
            "November",
            "December",
        ],
        Portuguese => [
            "janeiro",
            "fevereiro",
            "março",
            "abril",
            "maio",
            "junho",
            "julho",
            "agosto",
            "setembro",
            "outubro",
            "novembro",
            "dezembro",
        ],
        Spanish => [
            "enero",
            "febrero",
            "marzo",
            "abril",
            "mayo",
            "junio",
            "julio",
            "agosto",
            "septiembre",
            "octubre",
            "noviembre",
            "diciembre",
        ],
    }
}

/// Twenty twenty-six; two thousand five.
fn year_english(year: u64) -> String {
    let say = |number| cardinal(number, English, Masculine);
    match (year / 100, year % 100) {
        (10..=19 | 21..=99, 0) => format!("{} hundred", say(year / 100)),
        (10..=19 | 21..=99, rest @ 1..=9) => format!("{} oh {}", say(year / 100), say(rest)),
        (10..=99, rest @ 10..) => format!("{} {}", say(year / 100), say(rest)),
        (_, _) => say(year),
    }
}

fn time(core: &str, language: Language) -> Option<String> {
    let lower = core.to_lowercase().replace('.', "");
    let (clock, half) = match (language, lower.strip_suffix("am"), lower.strip_suffix("pm")) {
        (English, Some(clock), _) => (clock, " AM"),
        (English, _, Some(clock)) => (clock, " PM"),
        (_, _, _) => (lower.as_str(), ""),
    };
    let written_h = language != English && clock.contains('h');
    let (hour, minute) = match clock.split_once([':', 'h']) {
        Some((hour, "")) if written_h => (hour, 0),
        Some((hour, minute)) => {
            let minute = minute.trim_end_matches("min");
            (hour, minute.parse().ok().filter(|_| minute.len() == 2)?)
        }
        None if !half.is_empty() => (clock, 0),
        None => return None,
    };
    let hour: u64 = hour.parse().ok().filter(|_| (1..=2).contains(&hour.len()))?;
    if hour > 24 || minute > 59 {
        return None;
    }
    let hours = cardinal(hour, language, Feminine);
    Some(match (language, minute) {
        (English, 0) if half.is_empty() => format!("{hours} o'clock"),
        (English, 0) => format!("{hours}{half}"),
        (English, 1..=9) => format!("{hours} oh {}{half}", cardinal(minute, language, Masculine)),
        (English, _) => format!("{hours} {}{half}", cardinal(minute, language, Masculine)),
        (Portuguese, 0) => format!("{hours} {}", if hour == 1 { "hora" } else { "horas" }),
        (Spanish, 0) => hours,
        (Portuguese, _) => format!("{hours} e {}", cardinal(minute, language, Masculine)),
        (Spanish, _) => format!("{hours} y {}", cardinal(minute, language, Masculine)),
    })
}

fn ordinal(core: &str, language: Language) -> Option<String> {
    let ends: &[&str] = match language {
        English => &["st", "nd", "rd", "th"],
        Portuguese | Spanish => &["º", "ª", "°", ".º", ".ª"],
    };
    let (number, end) = ends.iter().rev().find_map(|end| Some((core.strip_suffix(end)?, *end)))?;
    let number: u64 = number.parse().ok().filter(|_| number.len() <= 2)?;
    let names: [&str; 10] = match language {
        English => return Some(ordinal_english(number)),
        Portuguese => {
            ["primeiro", "segundo", "terceiro", "quarto", "quinto", "sexto", "sétimo", "oitavo", "nono", "décimo"]
        }
        Spanish => {
            ["primero", "segundo", "tercero", "cuarto", "quinto", "sexto", "séptimo", "octavo", "noveno", "décimo"]
        }
    };
    let name = names.get(usize::try_from(number).ok()?.checked_sub(1)?)?;
    let stem = name.strip_suffix('o').unwrap_or(name);
    Some(if end.ends_with('ª') { format!("{stem}a") } else { (*name).to_owned() })
}

fn ordinal_english(number: u64) -> String {
    let words = cardinal(number, English, Masculine);
    let (head, last) = match words.rfind([' ', '-']) {
        Some(at) => words.split_at(at + 1),
        None => ("", words.as_str()),
    };
    let last = match last {
        "one" => "first".to_owned(),
        "two" => "second".to_owned(),
        "three" => "third".to_owned(),
        "five" => "fifth".to_owned(),
        "eight" => "eighth".to_owned(),
        "nine" => "ninth".to_owned(),
        "twelve" => "twelfth".to_owned(),
        other => match other.strip_suffix('y') {
            Some(stem) => format!("{stem}ieth"),
            None => format!("{other}th"),
        },
    };
    format!("{head}{last}")
}
