//! Finds the registered answer a caller asks for: cosine between weighted words, concepts and letter groups.
//!
//! Stems join inflections, concepts join what callers say to what secretaries write ("que horas abre?" and "horário de
//! funcionamento"), and letter groups forgive what a recogniser misspells. Rare features weigh more (inverse document
//! frequency over the registered questions).
use super::{
    Answer, Language,
    concepts::{concepts, is_stop_word, rewrites},
    text,
};
use std::collections::BTreeMap;

/// Best cosine below this: the caller asked for something else.
const THRESHOLD: f32 = 0.27;
/// The words of an answer say less about what is asked for than those of its questions.
const ANSWER_WEIGHT: f32 = 0.6;
const STEM_WEIGHT: f32 = 1.0;
const CONCEPT_WEIGHT: f32 = 1.2;
const LETTERS_WEIGHT: f32 = 0.25;
/// Letters in a group.
const LETTERS: usize = 4;

/// An answer found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Found {
    /// Index into the registered answers.
    pub(super) answer: usize,
    /// 0 to 1.
    pub(super) score: f32,
}

/// The registered answers, prepared for search.
#[derive(Debug)]
pub(super) struct Book {
    language: Language,
    frequency: BTreeMap<String, f32>,
    documents: Vec<Document>,
}

#[derive(Debug)]
struct Document {
    answer: usize,
    vector: BTreeMap<String, f32>,
    norm: f32,
    weight: f32,
}

impl Book {
    pub(super) fn new(answers: &[Answer], language: Language) -> Self {
        let texts = answers.iter().enumerate().flat_map(|(index, answer)| {
            let questions = answer.questions.iter().map(move |question| (index, question.as_str(), 1.0));
            questions.chain([(index, answer.answer.as_str(), ANSWER_WEIGHT)])
        });
        let raw: Vec<_> =
            texts.map(|(answer, text, weight)| (answer, features(&text::words(text), language), weight)).collect();
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for feature in raw.iter().flat_map(|(_, features, _)| features.keys()) {
            *counts.entry(feature.clone()).or_default() += 1;
        }
        let total = raw.len() as f32;
        let frequency: BTreeMap<_, _> =
            counts.into_iter().map(|(feature, count)| (feature, inverse_frequency(total, count as f32))).collect();
        let documents = raw.into_iter().map(|(answer, features, weight)| {
            let vector = weigh(features, &frequency, rarest(total));
            Document { answer, norm: norm(&vector), vector, weight }
        });
        Self { language, documents: documents.collect(), frequency }
    }

    /// The answer to folded `words`, if one is asked for.
    pub(super) fn find(&self, words: &[String]) -> Option<Found> {
        let vector = weigh(features(words, self.language), &self.frequency, rarest(self.documents.len() as f32));
        let length = norm(&vector);
        let score = |document: &Document| {
            let product: f32 =
                vector.iter().filter_map(|(feature, a)| document.vector.get(feature).map(|b| a * b)).sum();
            document.weight * product / (length * document.norm).max(f32::MIN_POSITIVE)
        };
        let best = self
            .documents
            .iter()
            .map(|document| Found { answer: document.answer, score: score(document) })
            .max_by(|a, b| a.score.total_cmp(&b.score))?;
        (best.score >= THRESHOLD).then_some(best)
    }
}

fn inverse_frequency(total: f32, count: f32) -> f32 {
    1.0 + (total / count).ln()
}

/// The weight of a feature in no document: it tells that the caller speaks of something else, but half as loudly, since
/// callers use many words.
fn rarest(total: f32) -> f32 {
    0.5 * inverse_frequency(total.max(1.0), 1.0)
}

fn weigh(features: BTreeMap<String, f32>, frequency: &BTreeMap<String, f32>, unknown: f32) -> BTreeMap<String, f32> {
    features
        .into_iter()
        .map(|(feature, weight)| {
            let rarity = frequency.get(&feature).copied().unwrap_or(unknown);
            (feature, weight * rarity)
        })
        .collect()
}

fn norm(vector: &BTreeMap<String, f32>) -> f32 {
    vector.values().map(|weight| weight * weight).sum::<f32>().sqrt()
}

/// Features of a text and their weights: `=stem`, `@concept`, `~letters`.
fn features(words: &[String], language: Language) -> BTreeMap<String, f32> {
    let mut out = BTreeMap::new();
    let padded = rewrites(language)
        .iter()
        .fold(text::padded(words), |padded, (said, meant)| padded.replace(&format!(" {said} "), &format!(" {meant} ")));
    for (concept, phrases) in concepts(language) {
        if phrases.iter().any(|phrase| holds(&padded, phrase)) {
            out.insert(format!("@{concept}"), CONCEPT_WEIGHT);
        }
    }
    for word in padded.split_whitespace().filter(|word| !is_stop_word(word, language)) {
        out.insert(format!("={}", text::stem(word, language)), STEM_WEIGHT);
        let marked = format!("_{word}_");
        for letters in marked.as_bytes().windows(LETTERS) {
            out.insert(format!("~{}", String::from_utf8_lossy(letters)), LETTERS_WEIGHT);
        }
    }
    out
}

/// Whether a phrase stands in a padded text; a phrase ending in `*` matches longer words.
fn holds(padded: &str, phrase: &str) -> bool {
    match phrase.strip_suffix('*') {
        Some(start) => padded.contains(&format!(" {start}")),
        None => padded.contains(&format!(" {phrase} ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn book(language: Language, entries: &[(&str, &str)]) -> Book {
        let answers: Vec<_> = entries
            .iter()
            .map(|(questions, answer)| Answer {
                questions: questions.split('|').map(str::to_owned).collect(),
                answer: (*answer).to_owned(),
            })
            .collect();
        Book::new(&answers, language)
    }

    fn portuguese() -> Book {
        book(
            Language::PtBr,
            &[
                ("Qual é o horário de funcionamento?", "Abrimos de segunda a sexta, das nove às dezoito horas."),
                ("Qual é o endereço?", "Estamos na Rua das Flores, número cem, no centro."),
                ("Quais convênios vocês aceitam?", "Aceitamos Unimed, Amil e Bradesco Saúde."),
                ("Quais são as formas de pagamento?", "Aceitamos cartão, pix e dinheiro."),
                ("Como faço para marcar uma consulta?", "Para marcar uma consulta, diga o nome da especialidade."),
                ("Quanto custa a consulta?", "A consulta particular custa duzentos reais."),
                ("Tem estacionamento?", "Temos estacionamento gratuito ao lado do prédio."),
                ("Preciso fazer jejum para o exame?", "Para o exame de sangue, jejum de oito horas."),
            ],
        )
    }

    fn english() -> Book {
        book(
            Language::EnUs,
            &[
                ("What are your opening hours?", "We are open Monday to Friday, nine to six."),
                ("What is your address?", "We are at one hundred Flower Street."),
                ("Which insurance plans do you take?", "We take Blue Cross and Aetna."),
                ("How can I pay?", "We accept cards and cash."),
                ("How do I book an appointment?", "Tell me the specialty and a day."),
                ("Is there parking?", "There is free parking next to the building."),
                ("How do I reset my password?", "Press the reset button on the login page."),
            ],
        )
    }

    #[test]
    fn paraphrases_find_their_answer() {
        let (pt, en) = (portuguese(), english());
        for (book, question, want) in [
            (&pt, "que horas vocês abrem", 0),
            (&pt, "até que horas fica aberto hoje", 0),
            (&pt, "vocês funcionam no sábado", 0),
            (&pt, "onde fica a clínica", 1),
            (&pt, "me passa o endereço por favor", 1),
            (&pt, "como eu chego aí, em que rua é", 1),
            (&pt, "atende pela Unimed", 2),
            (&pt, "vocês aceitam plano de saúde", 2),
            (&pt, "posso pagar com pix", 3),
            (&pt, "aceita cartão de crédito", 3),
            (&pt, "eu queria agendar uma consulta", 4),
            (&pt, "quero marcar um horário com o médico", 4),
            (&pt, "quanto custa uma consulta particular", 5),
            (&pt, "tem onde parar o carro", 6),
            (&pt, "tem estacionamento aí", 6),
            (&pt, "precisa estar em jejum", 7),
            (&pt, "qual o orário de funcionamento", 0), // as a recogniser may spell it
            (&en, "when do you open", 0),
            (&en, "are you open on Saturday", 0),
            (&en, "where are you located", 1),
            (&en, "do you take my insurance", 2),
            (&en, "can I pay by credit card", 3),
            (&en, "I would like to make an appointment", 4),
            (&en, "where can I park my car", 5),
            (&en, "how do I get there", 1),
            (&en, "I forgot my password", 6),
        ] {
            let found = book.find(&text::words(question));
            assert_eq!(found.map(|found| found.answer), Some(want), "{question}: {found:?}");
        }
    }

    #[test]
    fn other_matters_find_nothing() {
        let (pt, en) = (portuguese(), english());
        for (book, question) in [
            (&pt, "qual é a capital da França"),
            (&pt, "o gato subiu no telhado"),
            (&pt, "meu computador está lento"),
            (&pt, "não"),
            (&pt, "me conta uma piada"),
            (&pt, "qual o nome do médico"),
            (&pt, "vocês vendem sapatos"),
            (&pt, "sim"),
            (&pt, ""),
            (&en, "what is the capital of France"),
            (&en, "the cat is on the roof"),
            (&en, "yes"),
            (&en, "please check the number and dial again"),
            (&en, "that is not a valid conference number, please try again"),
            (&en, "one moment please"),
            (&en, "I did not like the food"),
            (&Book::new(&[], Language::EnUs), "when do you open"),
        ] {
            assert_eq!(book.find(&text::words(question)), None, "{question}");
        }
    }
}
