//! The telephone-event payload (RFC 4733 §2.3).

/// The most events of one packet that are looked at; a peer packs a few short ones, not more.
const MAX_PACKED: usize = 8;

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
    /// Reads the first event of a payload; `None` if it is shorter than one.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let [code, flags, high, low] = *payload.first_chunk()?;
        Some(Self { code, end: flags & 0x80 != 0, volume: flags & 0x3f, duration: u16::from_be_bytes([high, low]) })
    }

    /// All events of a packet, each with its timestamp (§2.5.1.5): one begins where the one before ended. What follows
    /// an event that goes on, or lasts no time, is padding.
    pub fn parse_packed(payload: &[u8], timestamp: u32) -> impl Iterator<Item = (Self, u32)> {
        let mut next = Some(timestamp);
        let events = payload.chunks(4).take(MAX_PACKED).enumerate();
        events.map_while(move |(index, bytes)| {
            let event = Self::parse(bytes).filter(|event| index == 0 || event.duration > 0)?;
            let at = next?;
            next = event.end.then(|| at.wrapping_add(event.duration.into()));
            Some((event, at))
        })
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

    #[test]
    fn packed_events_follow_one_another_in_time() {
        let event = |code, end, duration| Event { code, end, volume: 10, duration };
        let bytes = |events: &[Event]| events.iter().flat_map(|event| event.to_bytes()).collect::<Vec<u8>>();
        let codes =
            |payload: &[u8]| Event::parse_packed(payload, u32::MAX).map(|(e, at)| (e.code, at)).collect::<Vec<_>>();
        let three = bytes(&[event(1, true, 400), event(2, true, 320), event(3, false, 160)]);
        assert_eq!(codes(&three), [(1, u32::MAX), (2, 399), (3, 719)]);
        assert_eq!(codes(&three[..7]), [(1, u32::MAX)], "half an event");
        assert_eq!(codes(&bytes(&[event(1, false, 400), event(2, true, 320)])), [(1, u32::MAX)], "the first goes on");
        assert_eq!(codes(&[1, 0x8a, 1, 0x90, 0, 0, 0, 0]), [(1, u32::MAX)], "zeroes are padding");
        assert_eq!(codes(&[0, 0x0a, 0, 0]), [(0, u32::MAX)], "the first report of a press may last no time");
        assert_eq!(codes(&bytes(&[event(1, true, 100); 20])).len(), MAX_PACKED);
        assert_eq!(codes(&[]), []);
    }
}
