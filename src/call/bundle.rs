//! How much of the caller's audio goes up in one message: each packet by itself while there is room, several together
//! when the thread that carries the call is short of time. A message costs more than the audio in it.
use media::Audio;
use std::time::Duration;

/// Whether the thread that carries a call keeps up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Room {
    /// Every packet goes up as it comes.
    #[default]
    Plenty,
    /// 40 ms go up together.
    Little,
    /// 60 ms go up together.
    Hardly,
}

impl Room {
    /// The room after a time in which the thread was busy for `busy` of it, 0 to 1. What bundling saves must not undo it:
    /// half the messages save about a third of a busy thread, and a third fewer about a seventh.
    #[must_use]
    pub fn after(self, busy: f64) -> Self {
        match self {
            Self::Plenty if busy > 0.75 => Self::Little,
            Self::Little if busy > 0.85 => Self::Hardly,
            Self::Little if busy < 0.45 => Self::Plenty,
            Self::Hardly if busy < 0.6 => Self::Little,
            Self::Plenty | Self::Little | Self::Hardly => self,
        }
    }

    /// How much audio a message waits for.
    pub const fn message(self) -> Duration {
        match self {
            Self::Plenty => Duration::ZERO,
            Self::Little => Duration::from_millis(40),
            Self::Hardly => Duration::from_millis(60),
        }
    }
}

/// Audio on its way into a message; at most 60 ms and the packet that completes them.
#[derive(Debug, Default)]
pub(super) struct Bundle {
    room: Room,
    waiting: Option<Audio>,
}

impl Bundle {
    /// From the next packet on.
    pub(super) fn set_room(&mut self, room: Room) {
        self.room = room;
    }

    /// What waits, since it is not to go up any more.
    pub(super) fn take(&mut self) -> Option<Audio> {
        self.waiting.take()
    }

    /// Takes a packet's audio; gives what is due to go up. Audio in another format than what waits goes up after it, by
    /// itself.
    pub(super) fn push(&mut self, audio: Audio) -> [Option<Audio>; 2] {
        let whole = match self.waiting.take() {
            None => audio,
            Some(mut waiting) => match waiting.join(audio) {
                Ok(()) => waiting,
                Err(after) => return [Some(waiting), Some(after)],
            },
        };
        if whole.duration() < self.room.message() {
            self.waiting = Some(whole);
            return [None, None];
        }
        [Some(whole), None]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use media::{Frame, Law, SampleRate};

    fn packet(number: u8) -> Audio {
        Audio::G711 { law: Law::Mu, bytes: vec![number; 160] }
    }

    /// Milliseconds of each message that these packets make.
    fn messages(bundle: &mut Bundle, packets: u8) -> Vec<u128> {
        (0..packets)
            .flat_map(|number| bundle.push(packet(number)))
            .flatten()
            .map(|it| it.duration().as_millis())
            .collect()
    }

    #[test]
    fn with_room_every_packet_goes_up_as_it_comes() {
        let mut bundle = Bundle::default();
        assert_eq!(bundle.push(packet(7)), [Some(packet(7)), None]);
        assert_eq!(messages(&mut bundle, 3), [20, 20, 20]);
    }

    #[test]
    fn without_room_they_go_together_and_nothing_is_lost_or_turned_around() {
        let mut bundle = Bundle::default();
        bundle.set_room(Room::Little);
        assert_eq!(messages(&mut bundle, 5), [40, 40]);
        bundle.set_room(Room::Hardly);
        assert_eq!(messages(&mut bundle, 2), [60], "the one that waited counts");
        bundle.push(packet(1));
        bundle.set_room(Room::Plenty);
        let both = Audio::G711 { law: Law::Mu, bytes: [[1; 160], [2; 160]].concat() };
        assert_eq!(bundle.push(packet(2)), [Some(both), None]);
    }

    #[test]
    fn another_format_does_not_wait_with_the_one_before() {
        let mut bundle = Bundle::default();
        bundle.set_room(Room::Hardly);
        bundle.push(packet(1));
        let wide = Audio::Pcm(Frame { rate: SampleRate::HZ_16000, samples: vec![0; 320] });
        assert_eq!(bundle.push(wide.clone()), [Some(packet(1)), Some(wide)]);
    }

    #[test]
    fn what_bundling_saves_does_not_undo_it() {
        // A message a packet costs two thirds of the work; the rest is there whatever goes up.
        let busy = |room: Room, load: f64| {
            let packets = (room.message().as_millis() / 20).max(1) as f64;
            load * (1.0 / 3.0 + 2.0 / 3.0 / packets)
        };
        for percent in 0..=130 {
            let load = f64::from(percent) / 100.0;
            let mut room = Room::Plenty;
            let course: Vec<Room> = std::iter::repeat_with(|| {
                room = room.after(busy(room, load));
                room
            })
            .take(20)
            .collect();
            let changes = course.windows(2).filter(|pair| pair[0] != pair[1]).count();
            assert!(changes <= 1, "at {percent} %: {course:?}");
        }
        assert_eq!(Room::Plenty.after(0.7), Room::Plenty);
        assert_eq!(Room::Hardly.after(0.1).after(0.1), Room::Plenty);
    }
}
