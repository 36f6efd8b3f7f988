//! The noise of the background in a pause of Opus, between the packets that tell of it (RFC 7587 §3.1.3).
//!
//! It is made up by a decoder of its own. That of the stream is not told of what was skipped: after a frame that it
//! made up libopus takes the next one for what is left of a loss, and lets it rise slowly. The first syllable behind
//! each pause would be too soft for a tenth of a second and more.
use crate::{
    audio::SampleRate,
    codec::{Codec, Decoder},
};
use std::collections::VecDeque;

/// An encoder skips nothing before so many packets without voice, and libopus smooths what it makes of them over as many.
const PACKETS: usize = 10;

/// What the background sounds like.
#[derive(Debug, Default)]
pub(super) struct Background {
    /// The last packets without voice, the latest last.
    recent: VecDeque<Vec<u8>>,
    /// Has heard all of them; there is none before something is to be made up.
    decoder: Option<Decoder>,
}

impl Background {
    /// A packet without voice.
    pub(super) fn hear(&mut self, payload: &[u8]) {
        if let Some(decoder) = &mut self.decoder {
            // What it cannot decode tells nothing.
            let _ = decoder.decode(payload);
        }
        if self.recent.len() == PACKETS {
            self.recent.pop_front();
        }
        self.recent.push_back(payload.to_vec());
    }

    /// Somebody speaks: the next pause may sound otherwise.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// So many samples of it; nothing where nothing was heard of it yet, or if libopus fails.
    pub(super) fn samples(&mut self, count: usize, rate: SampleRate) -> Option<Vec<i16>> {
        if self.decoder.is_none() {
            self.recent.back()?;
            let mut decoder = Decoder::to(Codec::Opus, rate).ok()?;
            for payload in &self.recent {
                let _ = decoder.decode(payload); // as above
            }
            self.decoder = Some(decoder);
        }
        let noise = self.decoder.as_mut()?.conceal(rate.duration_of(count))?;
        (noise.len() == count).then_some(noise)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{Encoder, opus};

    /// A phone may say nothing right behind a voice: what its line sounds like only the decoder of the stream knows.
    #[test]
    fn nothing_is_known_of_a_background_before_a_packet_without_voice() {
        let (rate, mut background) = (SampleRate::HZ_16000, Background::default());
        assert_eq!(background.samples(320, rate), None);
        let mut encoder = Encoder::new(Codec::Opus, opus::Receiver::default()).unwrap();
        background.hear(&encoder.encode(&[0; 480]).unwrap());
        assert_eq!(background.samples(320, rate).map(|noise| noise.len()), Some(320));
        background.forget();
        assert_eq!(background.samples(320, rate), None);
    }
}
