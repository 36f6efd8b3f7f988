//! WAV: a header that is right at any moment, and samples behind it.
use std::time::Duration;

/// Bytes before the samples.
pub const HEADER: usize = 44;
/// Most bytes of samples: RIFF counts in 32 bits, and in whole frames.
pub const LARGEST: u64 = (u32::MAX as u64 - HEADER as u64) & !3;

/// The header of 16-bit stereo with so many bytes of samples.
pub fn header(rate: crate::SampleRate, data: u64) -> [u8; HEADER] {
    const CHANNELS: u16 = 2;
    const BYTES: u16 = 2;
    let data = u32::try_from(data.min(LARGEST)).unwrap_or(u32::MAX);
    let frame = CHANNELS * BYTES;
    let fields: [&[u8]; 13] = [
        b"RIFF",
        &(data + 36).to_le_bytes(),
        b"WAVE",
        b"fmt ",
        &16_u32.to_le_bytes(),
        &1_u16.to_le_bytes(), // PCM
        &CHANNELS.to_le_bytes(),
        &rate.hz().to_le_bytes(),
        &(rate.hz() * u32::from(frame)).to_le_bytes(),
        &frame.to_le_bytes(),
        &(BYTES * 8).to_le_bytes(),
        b"data",
        &data.to_le_bytes(),
    ];
    let mut header = [0; HEADER];
    for (to, from) in header.iter_mut().zip(fields.concat()) {
        *to = from;
    }
    header
}

/// The header that a file of `length` bytes should have whose header is this one: the file of a writer that was killed.
/// `None` if it is none of ours.
pub fn repaired(found: &[u8], length: u64) -> Option<[u8; HEADER]> {
    let rate = found.get(24..28).and_then(|bytes| bytes.try_into().ok()).map(u32::from_le_bytes)?;
    let rate = crate::SampleRate::new(rate)?;
    let data = length.checked_sub(HEADER as u64)? & !3;
    let like = header(rate, 0);
    let same = |range: std::ops::Range<usize>| found.get(range.clone()) == like.get(range);
    (same(0..4) && same(8..40)).then(|| header(rate, data))
}

/// How long what stands behind such a header plays.
pub fn duration(header: &[u8; HEADER]) -> Duration {
    const FRAME: usize = 4;
    let number =
        |at: std::ops::Range<usize>| header.get(at).and_then(|bytes| bytes.try_into().ok()).map(u32::from_le_bytes);
    let (rate, data) = (number(24..28).and_then(crate::SampleRate::new), number(40..44));
    rate.zip(data).map_or(Duration::ZERO, |(rate, data)| rate.duration_of(data as usize / FRAME))
}

/// Samples as they lie in the file.
pub fn bytes(samples: &[i16]) -> Vec<u8> {
    samples.iter().flat_map(|sample| sample.to_le_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SampleRate;

    #[test]
    fn a_header_counts_what_follows() {
        let header = header(SampleRate::HZ_16000, 64_000);
        assert_eq!(&header[..4], b"RIFF");
        assert_eq!(header[4..8], 64_036_u32.to_le_bytes());
        assert_eq!(header[22..24], 2_u16.to_le_bytes());
        assert_eq!(header[24..28], 16_000_u32.to_le_bytes());
        assert_eq!(header[28..32], 64_000_u32.to_le_bytes());
        assert_eq!(header[40..44], 64_000_u32.to_le_bytes());
        assert_eq!(duration(&header), Duration::from_secs(1));
    }

    #[test]
    fn a_torn_file_is_as_long_as_its_whole_frames() {
        let torn = header(SampleRate::HZ_8000, 0);
        assert_eq!(repaired(&torn, 44 + 1_003), Some(header(SampleRate::HZ_8000, 1_000)));
        assert_eq!(repaired(&torn, 10), None);
        assert_eq!(repaired(b"RIFF", 1_000), None);
        assert_eq!(repaired(&[0; 44], 1_000), None);
    }
}
