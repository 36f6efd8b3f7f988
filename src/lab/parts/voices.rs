//! Texts, spoken: in pieces as they are made, or as one file.
use super::{
    answer::{Answer, House, Vendor},
    hum,
};
use crate::lab::script::Say;
use media::{Law, SampleRate, codec::g711};
use serde_json::Value;
use std::time::{Duration, Instant};

/// The longest text OpenAI takes, characters.
const LONGEST: usize = 4_096;
const PIECE: Duration = Duration::from_millis(100);
/// What a letter takes where a tone stands for speech.
const LETTER_MS: u64 = 60;
/// What voices of Piper speak at.
const PIPER: u32 = 22_050;

/// How samples are sent.
enum Sent {
    Pcm(SampleRate),
    G711(Law),
    Wav(SampleRate),
}

/// Speech for a text.
///
/// # Errors
/// What is wrong with the request.
pub(super) fn answer(
    house: &House,
    vendor: Vendor,
    (path, query): (&str, &str),
    body: &[u8],
    now: Instant,
) -> Result<Answer, String> {
    let asked: Value = serde_json::from_slice(body).map_err(|error| format!("no JSON: {error}"))?;
    let word = |key: &str| asked[key].as_str().unwrap_or_default();
    let parameter = |wanted: &str| {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.filter(|(name, _)| *name == wanted).map(|(_, value)| value).next_back().unwrap_or_default()
    };
    let (text, sent) = match vendor {
        Vendor::OpenAi if word("response_format") != "pcm" => return Err("this simulator speaks pcm".into()),
        Vendor::OpenAi if word("model").is_empty() || word("voice").is_empty() => {
            return Err("a field is missing".into());
        }
        Vendor::OpenAi => (word("input"), Sent::Pcm(SampleRate::HZ_24000)),
        Vendor::Deepgram if parameter("container") != "none" || !parameter("model").starts_with("aura") => {
            return Err("UNSUPPORTED_MODEL".into());
        }
        Vendor::Deepgram => (word("text"), deepgram(parameter("encoding"), parameter("sample_rate"))?),
        Vendor::ElevenLabs if word("model_id").is_empty() || !path.ends_with("/stream") => {
            return Err("invalid_request".into());
        }
        Vendor::ElevenLabs => (word("text"), elevenlabs(parameter("output_format"))?),
        Vendor::Piper => (word("text"), Sent::Wav(SampleRate::new(PIPER).ok_or("no such rate")?)),
    };
    if text.trim().is_empty() || text.chars().count() > LONGEST {
        return Err("a text of 1 to 4096 characters is wanted".into());
    }
    Ok(spoken(house, text, &sent, now))
}

fn rate(text: &str) -> Result<SampleRate, String> {
    let rate = text.parse().ok().filter(|rate| [8_000, 16_000, 22_050, 24_000, 32_000, 48_000].contains(rate));
    rate.and_then(SampleRate::new).ok_or_else(|| format!("sample rate {text:?} is not supported"))
}

fn deepgram(encoding: &str, sample_rate: &str) -> Result<Sent, String> {
    match (encoding, rate(sample_rate)?) {
        ("linear16", rate) => Ok(Sent::Pcm(rate)),
        ("mulaw", SampleRate::HZ_8000) => Ok(Sent::G711(Law::Mu)),
        ("alaw", SampleRate::HZ_8000) => Ok(Sent::G711(Law::A)),
        _ => Err(format!("encoding {encoding:?} is not supported")),
    }
}

fn elevenlabs(format: &str) -> Result<Sent, String> {
    match format.split_once('_') {
        Some(("pcm", sample_rate)) => Ok(Sent::Pcm(rate(sample_rate)?)),
        Some(("ulaw", "8000")) => Ok(Sent::G711(Law::Mu)),
        Some(("alaw", "8000")) => Ok(Sent::G711(Law::A)),
        _ => Err(format!("output_format {format:?} is not supported")),
    }
}

fn spoken(house: &House, text: &str, sent: &Sent, now: Instant) -> Answer {
    let rate = match *sent {
        Sent::G711(_) => return pieces(house, text, SampleRate::HZ_8000, sent, now),
        Sent::Pcm(rate) => return pieces(house, text, rate, sent, now),
        Sent::Wav(rate) => rate,
    };
    let script = &house.script;
    let samples = say(house, text, rate);
    let made = rate.duration_of(samples.len()).div_f64(script.burst.max(0.01));
    let at = now + Duration::from_millis(script.voice_ms) + made;
    let file = wav(rate, &samples);
    // As the real server says it.
    Answer { status: 200, content_type: "text/html; charset=utf-8", pieces: vec![(at, file)], complete: true }
}

fn say(house: &House, text: &str, rate: SampleRate) -> Vec<i16> {
    let hum = hum::pitch(text).zip(house.script.echo_ms);
    let say = match house.script.tone_hz {
        _ if let Some((tone_hz, ms)) = hum => Say::Tone { tone_hz, ms },
        Some(tone_hz) => Say::Tone { tone_hz, ms: LETTER_MS * text.chars().count() as u64 },
        None => Say::Words(text.to_owned()),
    };
    house.voice.render(&say, rate)
}

fn pieces(house: &House, text: &str, rate: SampleRate, sent: &Sent, now: Instant) -> Answer {
    let samples = say(house, text, rate);
    let mut at = now + Duration::from_millis(house.script.voice_ms);
    let mut pieces = Vec::new();
    for piece in samples.chunks(rate.samples_in(PIECE)) {
        let bytes = match sent {
            Sent::G711(law) => g711::encode(*law, piece),
            Sent::Pcm(_) | Sent::Wav(_) => piece.iter().flat_map(|sample| sample.to_le_bytes()).collect(),
        };
        pieces.push((at, bytes));
        at += rate.duration_of(piece.len()).div_f64(house.script.burst.max(0.01));
    }
    Answer { status: 200, content_type: "application/octet-stream", pieces, complete: true }
}

fn wav(rate: SampleRate, samples: &[i16]) -> Vec<u8> {
    let length = u32::try_from(samples.len() * 2).unwrap_or(u32::MAX);
    let mut file = b"RIFF".to_vec();
    file.extend((length.saturating_add(36)).to_le_bytes());
    file.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    file.extend(rate.hz().to_le_bytes());
    file.extend((rate.hz() * 2).to_le_bytes());
    file.extend(b"\x02\0\x10\0data");
    file.extend(length.to_le_bytes());
    file.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
    file
}
