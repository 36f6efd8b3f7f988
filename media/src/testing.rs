//! What tests of this crate share: an origin of virtual time, and numbers from a seed.
use std::time::Instant;

/// An arbitrary origin of virtual time.
#[expect(clippy::disallowed_methods, reason = "tests need one instant to count from; it never advances by itself")]
pub(crate) fn origin() -> Instant {
    Instant::now()
}

/// Marsaglia's xorshift64: the same seed gives the same test.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(crate::rtp::mix(seed) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 16) % bound
    }

    /// True `percent` times in a hundred.
    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| (self.next() >> 24) as u8).collect()
    }
}

/// Every recording of speech we have, by name: 16-bit mono at 8 kHz.
pub(crate) fn speech() -> Vec<(String, Vec<i16>)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/speech");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let recordings = files.filter(|path| path.extension().is_some_and(|extension| extension == "wav"));
    let read = |path: std::path::PathBuf| {
        let bytes = std::fs::read(&path).unwrap();
        let start = bytes.windows(4).position(|window| window == b"data").unwrap() + 8;
        let samples = bytes[start..].as_chunks().0.iter().map(|pair| i16::from_le_bytes(*pair)).collect();
        (path.file_stem().unwrap().to_string_lossy().into_owned(), samples)
    };
    let all: Vec<_> = recordings.map(read).collect();
    assert!(all.len() > 40, "the recordings are missing");
    all
}
