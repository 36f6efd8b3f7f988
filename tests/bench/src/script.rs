//! What one simulated conversation does, and when: the assistant speaks in bursts, the caller cuts in or answers.
use crate::stamp::BLOCK_MS;
use std::time::{Duration, Instant};

/// Providers deliver faster than speech: this much audio …
const DELTA_BLOCKS: u32 = 10;
/// … each of these, five times as fast as it is spoken.
const BETWEEN_DELTAS: Duration = Duration::from_millis(40);
/// How long a caller speaks in a turn.
const CALLER_SPEAKS: Duration = Duration::from_millis(1_000);

/// Blocks of an item are numbered in the low bits of a mark, items above them.
const BLOCK_BITS: u32 = 9;

/// The number in the mark of a block.
pub(crate) fn mark(item: u32, block: u32) -> u32 {
    item << BLOCK_BITS | block
}

/// Item and block of a mark.
pub(crate) fn unmark(number: u32) -> (u32, u32) {
    (number >> BLOCK_BITS, number & ((1 << BLOCK_BITS) - 1))
}

/// Even and repeatable chances: splitmix64.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    /// The same seed gives the same conversation.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// To the microsecond, so that moments are spread evenly over the 20 ms between packets.
    fn between(&mut self, from_ms: u64, to_ms: u64) -> Duration {
        Duration::from_micros(from_ms * 1_000 + self.next() % ((to_ms - from_ms) * 1_000))
    }
}

/// What the provider does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// A response begins.
    Begin { item: u32 },
    /// The next audio of it.
    Deliver { item: u32, first: u32, blocks: u32 },
    /// All of its audio was delivered.
    Complete { item: u32 },
    /// The caller began to speak; while an item is played, that cuts it.
    Hear { cuts: Option<u32>, until: Instant },
    /// The caller stopped.
    Heard,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// Nobody speaks until then.
    Pause {
        until: Instant,
    },
    Speaking(Speaking),
    CallerSpeaks {
        until: Instant,
    },
}

#[derive(Clone, Copy, Debug)]
struct Speaking {
    item: u32,
    delivered: u32,
    blocks: u32,
    next_delta: Instant,
    completed: bool,
    /// When the caller's turn begins, and whether it cuts this item.
    turn: (Instant, bool),
}

/// One conversation's course. Responses are numbered from 0.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    dice: Dice,
    phase: Phase,
    items: u32,
}

impl Script {
    /// Begins with a pause of random length, so that conversations are out of step.
    pub(crate) fn new(seed: u64, now: Instant) -> Self {
        let mut dice = Dice::new(seed);
        let phase = Phase::Pause { until: now + dice.between(300, 2_300) };
        Self { dice, phase, items: 0 }
    }

    /// When the next act is due.
    pub(crate) fn due(&self) -> Instant {
        match self.phase {
            Phase::Pause { until } | Phase::CallerSpeaks { until } => until,
            Phase::Speaking(Speaking { turn, completed: true, .. }) => turn.0,
            Phase::Speaking(Speaking { turn, next_delta, .. }) => turn.0.min(next_delta),
        }
    }

    /// The next act, if it is due.
    pub(crate) fn next(&mut self, now: Instant) -> Option<Act> {
        if self.due() > now {
            return None;
        }
        Some(match self.phase {
            Phase::Pause { .. } => self.begin(now),
            Phase::Speaking(speaking) if speaking.turn.0 <= now => {
                let until = now + CALLER_SPEAKS;
                self.phase = Phase::CallerSpeaks { until };
                Act::Hear { cuts: speaking.turn.1.then_some(speaking.item), until }
            }
            Phase::Speaking(speaking) => self.go_on(speaking),
            Phase::CallerSpeaks { .. } => {
                self.phase = Phase::Pause { until: now + self.dice.between(300, 700) };
                Act::Heard
            }
        })
    }

    /// Three items of four are cut while they are heard; the fourth is played to its end.
    fn begin(&mut self, now: Instant) -> Act {
        let item = self.items;
        self.items += 1;
        let (blocks, turn) = if item % 4 == 3 {
            let blocks = 75;
            (blocks, (now + length(blocks) + self.dice.between(300, 500), false))
        } else {
            (150, (now + self.dice.between(500, 2_000), true))
        };
        self.phase = Phase::Speaking(Speaking { item, delivered: 0, blocks, next_delta: now, completed: false, turn });
        Act::Begin { item }
    }

    fn go_on(&mut self, mut speaking: Speaking) -> Act {
        let Speaking { item, delivered: first, blocks, .. } = speaking;
        let act = if first == blocks {
            speaking.completed = true;
            Act::Complete { item }
        } else {
            let count = DELTA_BLOCKS.min(blocks - first);
            speaking.delivered += count;
            speaking.next_delta += BETWEEN_DELTAS;
            Act::Deliver { item, first, blocks: count }
        };
        self.phase = Phase::Speaking(speaking);
        act
    }
}

fn length(blocks: u32) -> Duration {
    Duration::from_millis(BLOCK_MS) * blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conversation_goes_on_and_cuts_only_what_is_being_heard() {
        let start = Instant::now();
        let mut script = Script::new(7, start);
        let (mut begun, mut delivered, mut cuts) = (start, 0, 0);
        for _ in 0..2_000 {
            let now = script.due();
            match script.next(now).unwrap() {
                Act::Begin { .. } => (begun, delivered) = (now, 0),
                Act::Deliver { first, blocks, .. } => {
                    assert_eq!(first, delivered, "in order");
                    assert!(script.due() > now, "one delta at a time");
                    delivered += blocks;
                }
                Act::Hear { cuts: Some(_), .. } => {
                    // With 40 ms to spare: the playout may begin a packet later.
                    let played = now - begun;
                    assert!(played > Duration::from_millis(400) && played < length(delivered) - 2 * length(1));
                    cuts += 1;
                }
                Act::Hear { cuts: None, .. } => assert!(now - begun > length(delivered) + length(2)),
                Act::Complete { .. } | Act::Heard => {}
            }
        }
        assert!(cuts > 50, "{cuts}");
    }

    #[test]
    fn marks_hold_an_item_and_a_block() {
        for (item, block) in [(0, 0), (3, 149), (32_767, 511)] {
            assert_eq!(unmark(mark(item, block)), (item, block));
            assert!(mark(item, block) <= 0xff_ffff);
        }
    }
}
