//! PCM as it goes over a wire: 16 bits, little-endian.
use media::{Frame, SampleRate, UtteranceId};

/// Two bytes a sample.
pub(crate) fn to_bytes(samples: &[i16]) -> Vec<u8> {
    samples.iter().flat_map(|sample| sample.to_le_bytes()).collect()
}

/// Half a sample at the end is none.
pub(crate) fn read(rate: SampleRate, bytes: &[u8]) -> Frame {
    Frame { rate, samples: bytes.as_chunks().0.iter().map(|pair| i16::from_le_bytes(*pair)).collect() }
}

/// The first half of a sample that a server cut in two: without it the next message, and all behind it, is noise.
#[derive(Debug, Default)]
pub(crate) struct Half(Option<(UtteranceId, u8)>);

impl Half {
    /// A message of an utterance, behind what the one before left of it: whole samples.
    pub(crate) fn join(&mut self, utterance: UtteranceId, mut bytes: Vec<u8>) -> Vec<u8> {
        if let Some((_, half)) = self.0.take().filter(|(of, _)| *of == utterance) {
            bytes.insert(0, half);
        }
        if !bytes.len().is_multiple_of(2) {
            self.0 = bytes.pop().map(|half| (utterance, half));
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_whole_wherever_messages_are_cut_and_every_utterance_begins_with_one() {
        let samples: Vec<i16> = (-300..300).map(|n| n * 100).collect();
        for size in [1, 2, 3, 7, 600, 1_199] {
            let mut half = Half::default();
            assert_eq!(half.join(UtteranceId(0), vec![9]), [0; 0]);
            let bytes = to_bytes(&samples);
            let joined = bytes.chunks(size).flat_map(|bytes| {
                let whole = half.join(UtteranceId(1), bytes.to_vec());
                read(SampleRate::HZ_24000, &whole).samples
            });
            assert_eq!(joined.collect::<Vec<i16>>(), samples, "{size}");
        }
    }
}
