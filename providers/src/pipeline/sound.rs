//! Speech as voices send it: raw samples or a WAV file, in pieces cut anywhere.
use crate::pcm;
use media::{Audio, AudioFormat, Frame, SampleRate};

/// Where the samples of a WAV file begin at the latest, bytes.
const LONGEST_HEADER: usize = 4_096;

/// How a voice's answer is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    /// Samples and nothing else.
    Raw(AudioFormat),
    /// A WAV file, 16 bits, mono.
    Wav,
}

/// Bytes in, audio out.
#[derive(Debug)]
pub(super) struct Decoder {
    state: State,
    rest: Vec<u8>,
}

#[derive(Debug)]
enum State {
    Header,
    Samples(AudioFormat),
}

impl Decoder {
    pub(super) fn new(encoding: Encoding) -> Self {
        let state = match encoding {
            Encoding::Raw(format) => State::Samples(format),
            Encoding::Wav => State::Header,
        };
        Self { state, rest: Vec::new() }
    }

    /// The audio that these bytes complete.
    ///
    /// # Errors
    /// They are no WAV file that we can play.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Option<Audio>, &'static str> {
        self.rest.extend_from_slice(bytes);
        if matches!(self.state, State::Header) {
            let Some((rate, from)) = header(&self.rest)? else { return Ok(None) };
            self.rest.drain(..from);
            self.state = State::Samples(AudioFormat::Pcm(rate));
        }
        Ok(match self.state {
            State::Header => None,
            State::Samples(AudioFormat::G711(law)) => {
                let bytes = std::mem::take(&mut self.rest);
                (!bytes.is_empty()).then_some(Audio::G711 { law, bytes })
            }
            State::Samples(AudioFormat::Pcm(rate)) => {
                let whole = self.rest.len() / 2 * 2;
                let bytes: Vec<u8> = self.rest.drain(..whole).collect();
                (whole > 0).then(|| Audio::Pcm(pcm::read(rate, &bytes)))
            }
        })
    }
}

/// Rate, and where the samples begin; `None` when more is needed to know.
fn header(bytes: &[u8]) -> Result<Option<(SampleRate, usize)>, &'static str> {
    const NOT_WAV: &str = "the voice's answer is no WAV file of 16-bit mono";
    if bytes.len() < 12 {
        return Ok(None);
    }
    if bytes.get(..4) != Some(b"RIFF") || bytes.get(8..12) != Some(b"WAVE") {
        return Err(NOT_WAV);
    }
    let (mut at, mut rate) = (12_usize, None);
    while let Some(name) = bytes.get(at..at + 4) {
        let Some(length) = bytes.get(at + 4..at + 8).and_then(|b| b.try_into().ok()).map(u32::from_le_bytes) else {
            break;
        };
        let body = at + 8;
        if name == b"data" {
            return rate.map(|rate| Some((rate, body))).ok_or(NOT_WAV);
        }
        if name == b"fmt " {
            let Some(format) = bytes.get(body..body + 16) else { break };
            // PCM, one channel, 16 bits.
            if format.get(..4) != Some(&[1, 0, 1, 0]) || format.get(14..16) != Some(&[16, 0]) {
                return Err(NOT_WAV);
            }
            let hz = format.get(4..8).and_then(|b| b.try_into().ok()).map(u32::from_le_bytes);
            rate = Some(hz.and_then(SampleRate::new).ok_or(NOT_WAV)?);
        }
        at = body.saturating_add(length as usize).saturating_add(length as usize % 2);
        if at > LONGEST_HEADER {
            return Err(NOT_WAV);
        }
    }
    if bytes.len() > LONGEST_HEADER { Err(NOT_WAV) } else { Ok(None) }
}

/// A WAV file of a frame.
pub(super) fn wav(frame: &Frame) -> Vec<u8> {
    let samples = pcm::to_bytes(&frame.samples);
    let length = u32::try_from(samples.len()).unwrap_or(u32::MAX);
    let rate = frame.rate.hz();
    let mut out = Vec::with_capacity(samples.len() + 44);
    out.extend(b"RIFF");
    out.extend(length.saturating_add(36).to_le_bytes());
    out.extend(b"WAVEfmt ");
    out.extend(16_u32.to_le_bytes());
    out.extend([1, 0, 1, 0]);
    out.extend(rate.to_le_bytes());
    out.extend(rate.saturating_mul(2).to_le_bytes());
    out.extend([2, 0, 16, 0]);
    out.extend(b"data");
    out.extend(length.to_le_bytes());
    out.extend(samples);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wav_file_is_read_however_it_is_cut() {
        let frame = Frame { rate: SampleRate::HZ_16000, samples: (0..400).collect() };
        let file = wav(&frame);
        for size in [1, 3, 44, 45, 1_000] {
            let mut decoder = Decoder::new(Encoding::Wav);
            let pieces = file.chunks(size).filter_map(|bytes| decoder.push(bytes).unwrap());
            let samples: Vec<i16> = pieces
                .flat_map(|audio| match audio {
                    Audio::Pcm(frame) => frame.samples,
                    Audio::G711 { .. } => panic!("PCM was sent"),
                })
                .collect();
            assert_eq!(samples, frame.samples, "{size}");
        }
    }

    #[test]
    fn what_is_no_wav_file_is_refused() {
        let stereo = {
            let mut file = wav(&Frame { rate: SampleRate::HZ_8000, samples: vec![0; 8] });
            file[22] = 2;
            file
        };
        let endless = [b"RIFF....WAVEjunk".as_slice(), &[0xff; 4], &[0; 64]].concat();
        for bytes in [b"<html>not found</html>".to_vec(), stereo, endless] {
            assert!(Decoder::new(Encoding::Wav).push(&bytes).is_err());
        }
    }
}
