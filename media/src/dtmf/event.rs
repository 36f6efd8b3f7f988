//! The telephone-event payload (RFC 4733 §2.3).

/// One report of an event: it is the same event as long as the RTP timestamp stays the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Which event (§3.2).
    pub code: u8,
    /// The event is over.
    pub end: bool,
    /// Power of the tone in −dBm0, 0–63.
    pub volume: u8,
    /// How long it has lasted, in timestamp ticks.
    pub duration: u16,
}

impl Event {
    /// Reads a payload; `None` if it is shorter than one event. Further events packed behind it (§2.5.1.5) are ignored.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let [code, flags, high, low] = *payload.first_chunk()?;
        Some(Self { code, end: flags & 0x80 != 0, volume: flags & 0x3f, duration: u16::from_be_bytes([high, low]) })
    }

    /// The payload; the reserved bit is zero.
    pub fn to_bytes(self) -> [u8; 4] {
        let [high, low] = self.duration.to_be_bytes();
        [self.code, u8::from(self.end) << 7 | (self.volume & 0x3f), high, low]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printing_then_parsing_is_the_identity() {
        let event = Event { code: 11, end: true, volume: 10, duration: 800 };
        assert_eq!(event.to_bytes(), [11, 0x8a, 3, 0x20]);
        assert_eq!(Event::parse(&event.to_bytes()), Some(event));
        assert_eq!(Event::parse(&[1, 2, 3]), None);
    }
}
