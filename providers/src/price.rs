//! What a conversation costs at list price, in whole micro-dollars. Prices are data with the day they took effect.
use crate::dialect::Usage;
use serde::Deserialize;
use std::{sync::LazyLock, time::Duration};

/// The shipped files, one per vendor.
const SHIPPED: [&str; 5] = [
    include_str!("elevenlabs/prices.json"),
    include_str!("gemini/prices.json"),
    include_str!("live/prices.json"),
    include_str!("openai/prices.json"),
    include_str!("pipeline/prices.json"),
];
/// Token prices are per million of them.
const TOKENS: u128 = 1_000_000;
const MICROS_PER_MINUTE: u128 = 60_000_000;

/// A price list.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
pub struct Prices {
    #[serde(default)]
    tokens: Vec<TokenPrice>,
    #[serde(default)]
    transcription: Vec<MinutePrice>,
    #[serde(default)]
    conversation: Vec<MinutePrice>,
    #[serde(default)]
    characters: Vec<CharacterPrice>,
}

/// Micro-dollars per million tokens.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
struct TokenPrice {
    model: String,
    effective_from: String,
    text_in: u64,
    text_cached: u64,
    text_out: u64,
    audio_in: u64,
    audio_cached: u64,
    audio_out: u64,
}

/// Micro-dollars per minute of audio or of a conversation.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
struct MinutePrice {
    model: String,
    effective_from: String,
    per_minute: u64,
}

/// Micro-dollars per million characters that were made speech.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
struct CharacterPrice {
    model: String,
    effective_from: String,
    per_million: u64,
}

impl Prices {
    /// The list in this binary.
    pub fn shipped() -> &'static Self {
        static SHIPPED_PRICES: LazyLock<Prices> = LazyLock::new(Prices::read_shipped);
        &SHIPPED_PRICES
    }

    fn read_shipped() -> Self {
        let mut all = Self::default();
        for file in SHIPPED {
            // A test reads every shipped file; one that cannot be read has no prices, and costs are then unknown.
            let Self { tokens, transcription, conversation, characters } = Self::parse(file).unwrap_or_default();
            all.tokens.extend(tokens);
            all.transcription.extend(transcription);
            all.conversation.extend(conversation);
            all.characters.extend(characters);
        }
        all
    }

    /// A list from JSON of the shipped shape.
    ///
    /// # Errors
    ///
    /// When it is not of that shape.
    pub fn parse(json: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(json)
    }

    /// What these tokens cost with this model on a day (`YYYY-MM-DD`), rounded to the nearest micro-dollar;
    /// `None` when the model has no price on that day. Transcribed seconds are another model's, see
    /// [`Prices::transcription`].
    pub fn tokens(&self, usage: &Usage, model: &str, day: &str) -> Option<u64> {
        let price = self
            .tokens
            .iter()
            .filter(|price| is_of(&price.model, model) && price.effective_from.as_str() <= day)
            .max_by_key(|price| (price.model.len(), &price.effective_from))?;
        let parts = [
            (usage.input_text, price.text_in),
            (usage.cached_text, price.text_cached),
            (usage.output_text, price.text_out),
            (usage.input_audio, price.audio_in),
            (usage.cached_audio, price.audio_cached),
            (usage.output_audio, price.audio_out),
        ];
        rounded(parts.iter().map(|(tokens, price)| u128::from(*tokens) * u128::from(*price)).sum(), TOKENS)
    }

    /// What writing down this much caller audio costs with this model on a day.
    pub fn transcription(&self, transcribed: Duration, model: &str, day: &str) -> Option<u64> {
        by_the_minute(&self.transcription, transcribed, model, day)
    }

    /// What so many characters of speech cost with this model on a day. Voices are part of some models' names
    /// (`aura-2-thalia-en` of `aura-2`), so the longest listed beginning counts.
    pub fn characters(&self, characters: u64, model: &str, day: &str) -> Option<u64> {
        let begins = |price: &&CharacterPrice| {
            model.strip_prefix(&*price.model).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        };
        let price = self
            .characters
            .iter()
            .filter(|price| begins(price) && price.effective_from.as_str() <= day)
            .max_by_key(|price| (price.model.len(), &price.effective_from))?;
        rounded(u128::from(characters) * u128::from(price.per_million), TOKENS)
    }

    /// What a conversation of this length costs with this model on a day.
    pub fn conversation(&self, connected: Duration, model: &str, day: &str) -> Option<u64> {
        by_the_minute(&self.conversation, connected, model, day)
    }
}

fn by_the_minute(prices: &[MinutePrice], time: Duration, model: &str, day: &str) -> Option<u64> {
    let price = prices
        .iter()
        .filter(|price| is_of(&price.model, model) && price.effective_from.as_str() <= day)
        .max_by_key(|price| (price.model.len(), &price.effective_from))?;
    rounded(time.as_micros().checked_mul(u128::from(price.per_minute))?, MICROS_PER_MINUTE)
}

/// What these tokens cost at the shipped price of a day (`YYYY-MM-DD`); `None` when the model has none.
pub fn cost_micro_usd(usage: &Usage, model: &str, day: &str) -> Option<u64> {
    Prices::shipped().tokens(usage, model, day)
}

/// What writing down this much caller audio costs at the shipped price of a day; `None` when the model has none.
pub fn transcription_micro_usd(transcribed: Duration, model: &str, day: &str) -> Option<u64> {
    Prices::shipped().transcription(transcribed, model, day)
}

/// What a conversation of this length costs at the shipped price of a day; `None` when the model has none.
pub fn conversation_micro_usd(connected: Duration, model: &str, day: &str) -> Option<u64> {
    Prices::shipped().conversation(connected, model, day)
}

/// What so many characters of speech cost at the shipped price of a day; `None` when the model has none.
pub fn characters_micro_usd(characters: u64, model: &str, day: &str) -> Option<u64> {
    Prices::shipped().characters(characters, model, day)
}

/// Whether a model is the listed one or a dated snapshot of it, e.g. `gpt-realtime-2025-08-28` of `gpt-realtime`.
fn is_of(listed: &str, model: &str) -> bool {
    let Some(rest) = model.strip_prefix(listed) else { return false };
    rest.is_empty() || is_snapshot(rest)
}

/// `-YYYY-MM-DD`.
fn is_snapshot(suffix: &str) -> bool {
    const SHAPE: &[u8] = b"-dddd-dd-dd";
    suffix.len() == SHAPE.len()
        && suffix
            .bytes()
            .zip(SHAPE)
            .all(|(byte, shape)| if *shape == b'd' { byte.is_ascii_digit() } else { byte == b'-' })
}

fn rounded(numerator: u128, denominator: u128) -> Option<u64> {
    u64::try_from((numerator + denominator / 2) / denominator).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When every shipped price had taken effect.
    const DAY: &str = "2026-11-26";

    #[test]
    fn every_shipped_file_is_read_and_every_day_is_a_day() {
        for file in SHIPPED {
            let prices = Prices::parse(file).unwrap();
            let days = prices.tokens.iter().map(|price| &price.effective_from);
            let minutes = prices.transcription.iter().chain(&prices.conversation).map(|price| &price.effective_from);
            let characters = prices.characters.iter().map(|price| &price.effective_from);
            for day in days.chain(minutes).chain(characters) {
                assert!(is_snapshot(&format!("-{day}")), "{day}");
            }
        }
    }

    #[test]
    fn a_minute_each_way_costs_what_the_vendor_says() {
        let heard = Usage { input_audio: 600, ..Usage::default() };
        let said = Usage { output_audio: 1_200, ..Usage::default() };
        assert_eq!(cost_micro_usd(&heard, "gpt-realtime-2.1", DAY), Some(19_200));
        assert_eq!(cost_micro_usd(&said, "gpt-realtime-2.1", DAY), Some(76_800));
        assert_eq!(cost_micro_usd(&heard, "gpt-realtime-2.1-mini", DAY), Some(6_000));
        assert_eq!(cost_micro_usd(&said, "gpt-realtime-2.1-mini", DAY), Some(24_000));
        assert_eq!(transcription_micro_usd(Duration::from_secs(60), "gpt-4o-mini-transcribe", DAY), Some(3_000));
        assert_eq!(conversation_micro_usd(Duration::from_secs(90), "elevenlabs-agents", DAY), Some(120_000));
        assert_eq!(transcription_micro_usd(Duration::from_secs(60), "nova-3", DAY), Some(4_800));
        assert_eq!(characters_micro_usd(1_000, "aura-2-thalia-en", DAY), Some(30_000));
        assert_eq!(characters_micro_usd(1_000, "eleven_flash_v2_5", DAY), Some(40_000));
        assert_eq!(characters_micro_usd(1_000, "tts-1", DAY), Some(15_000));
    }

    #[test]
    fn cached_tokens_have_a_price_of_their_own_and_fractions_are_rounded_once() {
        let usage = Usage {
            input_text: 1,
            cached_text: 1_000_000,
            cached_audio: 1_000_000,
            output_text: 1_000_000,
            ..Usage::default()
        };
        assert_eq!(cost_micro_usd(&usage, "gpt-realtime-2.1", DAY), Some(400_000 + 400_000 + 24_000_000 + 4));
        let small = Usage { cached_text: 1, ..Usage::default() };
        assert_eq!(cost_micro_usd(&small, "gpt-realtime-2.1", DAY), Some(0));
        let two = Usage { cached_text: 1, cached_audio: 1, ..Usage::default() };
        assert_eq!(cost_micro_usd(&two, "gpt-realtime-2.1", DAY), Some(1), "0.4 + 0.4");
    }

    #[test]
    fn a_price_is_that_of_the_day_and_of_the_very_model_or_its_snapshot() {
        let row = |model: &str, day: &str, price: u64| {
            format!(
                r#"{{"model":"{model}","effective_from":"{day}","text_in":{price},"text_cached":0,"text_out":0,
                "audio_in":0,"audio_cached":0,"audio_out":0}}"#
            )
        };
        let rows = [row("m", "2026-01-01", 1), row("m", "2026-06-01", 2), row("m-mini", "2026-01-01", 3)];
        let prices = Prices::parse(&format!(r#"{{"tokens":[{}]}}"#, rows.join(","))).unwrap();
        let usage = Usage { input_text: 1_000_000, ..Usage::default() };
        let cases = [
            ("m", "2025-12-31", None),
            ("m", "2026-01-01", Some(1)),
            ("m", "2026-05-31", Some(1)),
            ("m", "2026-06-01", Some(2)),
            ("m-2026-02-03", "2026-07-01", Some(2)),
            ("m-mini", "2026-07-01", Some(3)),
            ("m-maxi", "2026-07-01", None),
            ("n", "2026-07-01", None),
        ];
        for (model, day, cost) in cases {
            assert_eq!(prices.tokens(&usage, model, day), cost, "{model} {day}");
        }
    }
}
