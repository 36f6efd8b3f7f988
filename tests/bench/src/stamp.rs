//! Marks in G.711 audio: 64 bits in the lowest bits of the first 64 samples of a block of 20 ms.
//!
//! A mark moves a sample by one quantisation step at most, so speech stays speech and silence stays silence to a voice
//! detector. It survives only where the bytes pass untouched, which is what is to be measured.

/// One packet time of G.711: 20 ms at 8 kHz, one byte a sample.
pub(crate) const BLOCK: usize = 160;
/// Milliseconds in a block.
pub(crate) const BLOCK_MS: u64 = 20;
/// µ-law codes of zero, positive and negative (ITU-T G.711).
pub(crate) const SILENCE: u8 = 0xff;

const MAGIC: u64 = 0x5a3c;

/// Who sent a block, and its number in the sender's own count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Stamp {
    /// A phone on the way up, a provider connection on the way down.
    pub(crate) source: u16,
    /// 24 bits.
    pub(crate) number: u32,
}

impl Stamp {
    fn bits(self) -> u64 {
        let body = u64::from(self.source) << 24 | u64::from(self.number & 0xff_ffff);
        MAGIC << 48 | body << 8 | check(body)
    }

    /// Writes the mark into a block.
    pub(crate) fn write(self, block: &mut [u8]) {
        let bits = self.bits();
        for (place, byte) in block.iter_mut().take(64).enumerate() {
            *byte = *byte & !1 | (bits >> place & 1) as u8;
        }
    }

    /// The mark in a block, if there is one.
    pub(crate) fn read(block: &[u8]) -> Option<Self> {
        let marked = block.get(..64)?;
        let bits = marked.iter().enumerate().fold(0, |bits, (place, byte)| bits | u64::from(byte & 1) << place);
        let body = bits >> 8 & 0xff_ffff_ffff;
        let stamp = Self { source: (body >> 24) as u16, number: (body & 0xff_ffff) as u32 };
        (bits == stamp.bits()).then_some(stamp)
    }
}

fn check(body: u64) -> u64 {
    body.to_le_bytes()
        .iter()
        .enumerate()
        .fold(0x1d, |sum: u8, (place, byte)| sum.rotate_left(3) ^ byte.wrapping_add(place as u8)) as u64
}

/// Whether nobody can hear this.
pub(crate) fn is_silent(payload: &[u8]) -> bool {
    payload.iter().all(|code| code & 0x7f == 0x7f)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else_is() {
        for (source, number) in [(0, 0), (7, 1), (65_535, 0xff_ffff), (49, 123_456)] {
            let stamp = Stamp { source, number };
            let mut block: Vec<u8> = (0..BLOCK).map(|n| (n * 37) as u8).collect();
            assert_eq!(Stamp::read(&block), None);
            stamp.write(&mut block);
            assert_eq!(Stamp::read(&block), Some(stamp));
            block[20] ^= 1;
            assert_eq!(Stamp::read(&block), None, "a changed bit is noticed");
        }
        assert_eq!(Stamp::read(&[SILENCE; BLOCK]), None);
    }

    #[test]
    fn a_marked_silence_is_heard_as_sound_by_the_measurement_only() {
        let mut block = [SILENCE; BLOCK];
        assert!(is_silent(&block) && is_silent(&[0x7f; BLOCK]));
        Stamp { source: 1, number: 1 }.write(&mut block);
        assert!(!is_silent(&block));
        assert!(block.iter().all(|code| *code >= 0xfe), "zero, or the smallest step");
    }
}
