//! The WAV a voice's program writes to a pipe, whose header cannot know its own length.
use super::Error;
use media::{Frame, SampleRate, resample::Resampler};

/// Quieter than this is silence (−50 dBFS).
const SILENCE: i16 = 104;
/// Silence kept at either end: some at the end, since sentences follow each other.
const LEAD: usize = 160;
const PAUSE: usize = 1_200;
/// Offset of the first chunk.
const FIRST_CHUNK: usize = 12;

/// Mono 16-bit PCM as 8 kHz speech, without long silence at its ends.
///
/// # Errors
/// Not such a WAV, or a rate that cannot be converted.
pub(super) fn speech(bytes: &[u8], program: &str) -> Result<Frame, Error> {
    let wrong = |reason| Error::NoSpeech { program: program.to_owned(), reason };
    let (rate, data) = parse(bytes).map_err(wrong)?;
    let rate = SampleRate::new(rate).ok_or_else(|| wrong("a strange sample rate"))?;
    let samples: Vec<i16> = data.as_chunks::<2>().0.iter().map(|sample| i16::from_le_bytes(*sample)).collect();
    let narrow = narrow(&samples, rate)?;
    if narrow.is_empty() { Err(wrong("it is empty")) } else { Ok(Frame { rate: SampleRate::HZ_8000, samples: narrow }) }
}

/// Brings speech to 8 kHz and cuts the silence at its ends.
///
/// # Errors
/// A rate that cannot be converted.
pub(super) fn narrow(samples: &[i16], rate: SampleRate) -> Result<Vec<i16>, Error> {
    let narrow = if rate == SampleRate::HZ_8000 {
        samples.to_vec()
    } else {
        let mut resampler = Resampler::new(rate, SampleRate::HZ_8000)?;
        let mut narrow = resampler.process(samples);
        narrow.extend(resampler.flush());
        narrow
    };
    let loud = |sample: &i16| sample.unsigned_abs() > SILENCE.unsigned_abs();
    let Some(first) = narrow.iter().position(loud) else { return Ok(Vec::new()) };
    let last = narrow.iter().rposition(loud).unwrap_or(first);
    let end = narrow.len().min(last + PAUSE);
    Ok(narrow.get(first.saturating_sub(LEAD)..end).unwrap_or_default().to_vec())
}

/// Sample rate and data of a RIFF/WAVE; a data length of 0 or beyond the end means "to the end".
fn parse(bytes: &[u8]) -> Result<(u32, &[u8]), &'static str> {
    if bytes.get(..4) != Some(b"RIFF") || bytes.get(8..12) != Some(b"WAVE") {
        return Err("it is not a WAV");
    }
    let mut rate = None;
    let mut at = FIRST_CHUNK;
    while let Some(header) = bytes.get(at..at + 8) {
        let length = u32_at(header, 4).ok_or("a chunk is cut short")? as usize;
        let body = bytes.get(at + 8..).unwrap_or_default();
        match header.get(..4) {
            Some(b"fmt ") => {
                if (u16_at(body, 0), u16_at(body, 2), u16_at(body, 14)) != (Some(1), Some(1), Some(16)) {
                    return Err("it is not mono 16-bit PCM");
                }
                rate = u32_at(body, 4);
            }
            Some(b"data") => {
                let length = if length == 0 { body.len() } else { length.min(body.len()) };
                let data = body.get(..length).unwrap_or_default();
                return rate.map(|rate| (rate, data)).ok_or("it has no format");
            }
            Some(_) | None => {}
        }
        at = at.saturating_add(8).saturating_add(length).saturating_add(length % 2);
    }
    Err("it has no data")
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2)?.try_into().ok().map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wav(rate: u32, channels: u16, declared: u32, samples: &[i16]) -> Vec<u8> {
        let mut out = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0".to_vec();
        out.extend(channels.to_le_bytes());
        out.extend(rate.to_le_bytes());
        out.extend([0; 6]);
        out.extend(16_u16.to_le_bytes());
        out.extend(b"LIST\x03\0\0\0abc\0data");
        out.extend(declared.to_le_bytes());
        out.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
        out
    }

    #[test]
    fn a_piped_wav_is_read_to_its_end_and_trimmed() {
        let mut samples = vec![0_i16; 4_000];
        samples.extend([5_000; 800]);
        samples.extend([0; 8_000]);
        for declared in [0, u32::MAX, 25_600] {
            let frame = speech(&wav(8_000, 1, declared, &samples), "test").unwrap();
            assert_eq!(frame.samples.len(), LEAD + 799 + PAUSE, "{declared}");
        }
        let tone: Vec<i16> = (0..24_000).map(|n| ((f64::from(n) * 0.1).sin() * 8_000.0) as i16).collect();
        let frame = speech(&wav(24_000, 1, 0, &tone), "test").unwrap();
        assert!((7_900..8_100).contains(&frame.samples.len()), "{}", frame.samples.len());
    }

    #[test]
    fn anything_else_is_refused() {
        for bytes in [
            b"".to_vec(),
            b"Traceback (most recent call last)".to_vec(),
            wav(8_000, 2, 0, &[9_000; 100]),
            wav(8_000, 1, 0, &[0; 100]),
            wav(1, 1, 0, &[9_000; 100]),
            wav(8_000, 1, 0, &[])[..30].to_vec(),
        ] {
            assert!(speech(&bytes, "test").is_err(), "{bytes:?}");
        }
    }
}
