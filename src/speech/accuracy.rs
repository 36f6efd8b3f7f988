//! How well the recogniser hears real telephone speech, and whether it understands our own voices. Needs the models: without
//! them these tests say so and pass.
use super::whisper::{Recogniser, idle_threads};
use crate::{models, speech, wav};
use media::Frame;
use std::path::Path;

/// Recordings of each kind, to keep the suite short.
const FEW: usize = 4;

#[derive(serde::Deserialize)]
struct Utterance {
    file: String,
    lang: String,
    text: String,
}

fn recogniser() -> Option<Recogniser> {
    let dir = models::default_dir();
    let found = Recogniser::find(&dir).expect("what is there is whole");
    if found.is_none() {
        eprintln!("models absent: no recogniser in {}, this test proves nothing", dir.display());
    }
    found
}

/// Words as the comparison takes them: folded, numbers as digits.
fn words(text: &str) -> Vec<String> {
    const NUMBERS: &[(&str, &str)] = &[
        ("um", "1"),
        ("one", "1"),
        ("dois", "2"),
        ("duas", "2"),
        ("two", "2"),
        ("tres", "3"),
        ("three", "3"),
        ("quatro", "4"),
        ("four", "4"),
        ("cinco", "5"),
        ("five", "5"),
        ("seis", "6"),
        ("six", "6"),
        ("sete", "7"),
        ("seven", "7"),
        ("oito", "8"),
        ("eight", "8"),
        ("nove", "9"),
        ("nine", "9"),
        ("dez", "10"),
        ("ten", "10"),
        ("dezoito", "18"),
    ];
    let fold = |c: char| match c {
        'á' | 'à' | 'â' | 'ã' => 'a',
        'é' | 'ê' => 'e',
        'í' => 'i',
        'ó' | 'ô' | 'õ' => 'o',
        'ú' => 'u',
        'ç' => 'c',
        other => other,
    };
    let folded: String = text.to_lowercase().chars().map(fold).collect();
    let words = folded.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let digits = |word: &str| match NUMBERS.iter().find(|(name, _)| *name == word) {
        Some((_, digits)) => (*digits).to_owned(),
        None => word.to_owned(),
    };
    words.map(digits).collect()
}

/// Word edit distance.
fn errors(said: &[String], heard: &[String]) -> usize {
    let mut row: Vec<usize> = (0..=heard.len()).collect();
    for (i, word) in said.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, other) in heard.iter().enumerate() {
            let substituted = diagonal + usize::from(word != other);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[heard.len()]
}

/// The word error rate over the recorded utterances whose file starts with `prefix`.
///
/// `RAMAL_ALL_RECORDINGS=1` takes all of them instead of a few.
fn error_rate(recogniser: &Recogniser, prefix: &str) -> f64 {
    let most = if std::env::var_os("RAMAL_ALL_RECORDINGS").is_some() { usize::MAX } else { FEW };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/speech");
    let manifest = std::fs::read_to_string(folder.join("manifest.json")).expect("the manifest");
    let utterances: Vec<Utterance> = serde_json::from_str(&manifest).expect("a list");
    let mut listener = recogniser.listener().expect("memory");
    let (mut wrong, mut total) = (0, 0);
    for utterance in utterances.iter().filter(|utterance| utterance.file.starts_with(prefix)).take(most) {
        let frame = through_the_telephone(wav::read_narrowband(&folder.join(&utterance.file)).expect("a WAV"));
        let heard = listener.transcribe(&frame, &utterance.lang, idle_threads()).expect("words");
        let said = words(&utterance.text);
        let count = errors(&said, &words(&heard));
        println!("{count:2}/{:2} {}: {heard}", said.len(), utterance.file);
        wrong += count;
        total += said.len();
    }
    assert!(total > 0, "there are recordings of {prefix}");
    let rate = wrong as f64 / total as f64;
    println!("WER {prefix} {:.1} % of {total} words", rate * 100.0);
    rate
}

fn through_the_telephone(frame: Frame) -> Frame {
    use media::{Law, codec::g711};
    let bytes = g711::encode(Law::Mu, &frame.samples);
    Frame { samples: g711::decode(Law::Mu, &bytes), ..frame }
}

#[test]
fn recorded_callers_are_heard_through_the_telephone() {
    let Some(recogniser) = recogniser() else { return };
    for (prefix, most) in
        [("pt-kokoro", 0.10), ("pt-rhvoice", 0.20), ("en-piper", 0.10), ("en-agent", 0.15), ("en-conf", 0.15)]
    {
        let rate = error_rate(&recogniser, prefix);
        assert!(rate <= most, "{prefix}: {rate}");
    }
}

#[test]
fn our_own_voices_are_understood() {
    let Some(recogniser) = recogniser() else { return };
    let dir = models::default_dir();
    let mut listener = recogniser.listener().expect("memory");
    for (language, text, most) in [
        ("pt-BR", "Nosso horário de funcionamento é de segunda a sexta, das nove às dezoito horas.", 0.25),
        ("en-US", "Our office is open from Monday to Friday. Please hold the line.", 0.25),
    ] {
        if language == "pt-BR" && !speech::speaks_portuguese(&dir) {
            eprintln!("models absent: no Portuguese voice in {}, half of this test proves nothing", dir.display());
            continue;
        }
        let spoken = through_the_telephone(speech::say_with(&dir, text, language).expect("speech"));
        let heard = listener.transcribe(&spoken, language, idle_threads()).expect("words");
        let said = words(text);
        let rate = errors(&said, &words(&heard)) as f64 / said.len() as f64;
        println!("{language} {rate:.2}: {heard}");
        assert!(rate <= most, "{language}: {heard}");
    }
}

#[test]
fn silence_and_noise_are_not_words() {
    let Some(recogniser) = recogniser() else { return };
    let mut listener = recogniser.listener().expect("memory");
    let mut seed = 1_u32;
    let mut noise = |level: i32| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (((seed >> 16) as i32 % (2 * level + 1)) - level) as i16
    };
    for level in [0, 30, 300] {
        let samples = (0..16_000).map(|_| noise(level)).collect();
        let heard = listener.transcribe(&Frame { rate: media::SampleRate::HZ_8000, samples }, "pt-BR", idle_threads());
        let heard = heard.expect("an answer");
        println!("noise of {level}: {heard:?}");
        assert!(heard.is_empty(), "{heard}");
    }
}
