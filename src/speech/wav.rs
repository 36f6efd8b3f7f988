//! The WAV a voice's program writes to a pipe, whose header cannot know its own length.
use super::Error;
use media::{Frame, SampleRate, resample::Resampler};
use std::time::Duration;

/// Quieter than this is silence (−50 dBFS).
const SILENCE: i16 = 104;
/// Silence kept at either end: some at the end, since sentences follow each other.
const LEAD: Duration = Duration::from_millis(20);
const PAUSE: Duration = Duration::from_millis(150);
/// Offset of the first chunk.
const FIRST_CHUNK: usize = 12;

/// Mono 16-bit PCM as speech of this rate at the most, without long silence at its ends.
///
/// # Errors
/// Not such a WAV, or a rate that cannot be converted.
pub(super) fn speech(bytes: &[u8], program: &str, most: SampleRate) -> Result<Frame, Error> {
    let wrong = |reason| Error::NoSpeech { program: program.to_owned(), reason };
    let (rate, data) = parse(bytes).map_err(wrong)?;
    let rate = SampleRate::new(rate).ok_or_else(|| wrong("a strange sample rate"))?;
    let samples: Vec<i16> = data.as_chunks::<2>().0.iter().map(|sample| i16::from_le_bytes(*sample)).collect();
    let speech = fitted(&samples, rate, most)?;
    if speech.samples.is_empty() { Err(wrong("it is empty")) } else { Ok(speech) }
}

/// Brings speech that has more samples a second to `most`, and cuts the silence at its ends.
///
/// # Errors
/// A rate that cannot be converted.
pub(super) fn fitted(samples: &[i16], own: SampleRate, most: SampleRate) -> Result<Frame, Error> {
    let rate = own.min(most);
    let mut resampler = Resampler::new(own, rate)?;
    let mut whole = resampler.process(samples);
    whole.extend(resampler.flush());
    let loud = |sample: &i16| sample.unsigned_abs() > SILENCE.unsigned_abs();
    let Some(first) = whole.iter().position(loud) else { return Ok(Frame { rate, samples: Vec::new() }) };
    let last = whole.iter().rposition(loud).unwrap_or(first);
    let end = whole.len().min(last.saturating_add(rate.samples_in(PAUSE)));
    let start = first.saturating_sub(rate.samples_in(LEAD));
    Ok(Frame { rate, samples: whole.get(start..end).unwrap_or_default().to_vec() })
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
            for hz in [8_000, 16_000] {
                let frame = speech(&wav(hz, 1, declared, &samples), "test", SampleRate::HZ_16000).unwrap();
                let rate = SampleRate::new(hz).unwrap();
                let kept = [LEAD, PAUSE].map(|quiet| rate.samples_in(quiet));
                assert_eq!((frame.rate, frame.samples.len()), (rate, kept[0] + 799 + kept[1]), "{declared}");
            }
        }
    }

    #[test]
    fn a_voice_is_brought_to_the_rate_that_is_asked_for_and_to_none_that_it_has_not() {
        let tone: Vec<i16> = (0..24_000).map(|n| ((f64::from(n) * 0.1).sin() * 8_000.0) as i16).collect();
        for (most, rate) in [(8_000, 8_000), (16_000, 16_000), (48_000, 24_000)] {
            let frame = speech(&wav(24_000, 1, 0, &tone), "test", SampleRate::new(most).unwrap()).unwrap();
            assert_eq!(frame.rate.hz(), rate);
            assert!(frame.duration().abs_diff(Duration::from_secs(1)) < Duration::from_millis(12), "{most}");
        }
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
            assert!(speech(&bytes, "test", SampleRate::HZ_8000).is_err(), "{bytes:?}");
        }
    }
}
