//! A session that is recorded: what it hears and what it sends go onto a tape as well.
use super::{Session, uplink::Piece};
use crate::{
    audio::Audio,
    recording::{Blank, Block, Stamp, Summary, Tape},
};
use std::time::Duration;

/// What left in one packet time.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) lasting: Duration,
    /// `None` for silence, a key, or nothing.
    pub(super) audio: Option<Audio>,
}

impl Session {
    /// Records from the next packet on, at the rate of the codec, at most 16 kHz.
    pub fn record(&mut self, blank: Blank) {
        let rate = Tape::rate_for(self.media.codec.sample_rate());
        self.tape = Some(Tape::new(rate, blank, self.downlink.deadline()));
        self.downlink.slots = Some(Vec::new());
    }

    /// The recording, while there is one.
    pub fn tape(&mut self) -> Option<&mut Tape> {
        self.tape.as_mut()
    }

    /// The next block of the recording.
    pub fn poll_recorded(&mut self) -> Option<Block> {
        self.tape.as_mut()?.poll_block()
    }

    /// Ends the recording: its last blocks, and what became of it.
    pub fn finish_recording(&mut self) -> Option<(Vec<Block>, Summary)> {
        self.downlink.slots = None;
        Some(self.tape.take()?.finish())
    }

    pub(super) fn tape_piece(&mut self, piece: &Piece) {
        let Some(tape) = &mut self.tape else { return };
        let clock = self.uplink.codec().clock_rate();
        let stamp = piece.timestamp.map(|timestamp| Stamp { timestamp, clock });
        let taped = tape.heard(self.uplink.rate(), &piece.samples, stamp, piece.at);
        self.stats.codec_errors += u64::from(taped.is_err());
    }

    pub(super) fn tape_slots(&mut self) {
        let (Some(tape), Some(slots)) = (&mut self.tape, &mut self.downlink.slots) else { return };
        for slot in slots.drain(..) {
            self.stats.codec_errors += u64::from(tape.sent(slot.lasting, slot.audio.as_ref()).is_err());
        }
    }
}
