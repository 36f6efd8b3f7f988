//! PCM as it goes over a wire: 16 bits, little-endian.
use media::{Frame, SampleRate};

/// Two bytes a sample.
pub(crate) fn to_bytes(samples: &[i16]) -> Vec<u8> {
    samples.iter().flat_map(|sample| sample.to_le_bytes()).collect()
}

/// Half a sample at the end is none.
pub(crate) fn read(rate: SampleRate, bytes: &[u8]) -> Frame {
    Frame { rate, samples: bytes.as_chunks().0.iter().map(|pair| i16::from_le_bytes(*pair)).collect() }
}
