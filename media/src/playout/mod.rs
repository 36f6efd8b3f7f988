//! The one queue towards the caller.
//!
//! Providers deliver several times faster than speech; what they deliver waits here and nowhere else, and leaves a
//! frame at a time when the session's clock asks. What was taken was heard: samples are counted per utterance, at the
//! codec's rate, and truncation, transcripts and hang-up rest on that count.
//!
//! Overflow policy: audio beyond the bound is refused newest first and counted as dropped; the utterance then ends
//! early rather than skipping in its middle.
mod gain;
mod line;
mod queued;
#[cfg(test)]
mod tests;

use std::{collections::VecDeque, sync::Arc, time::Duration};

use crate::{
    audio::{Audio, Heard, UtteranceId},
    codec::Codec,
    prompt::Prompt,
};
use gain::Gain;
use queued::{More, Queued};

/// Utterances whose end is remembered, so that their late audio is recognised as stale.
const REMEMBERED: usize = 256;
/// Prompts that wait for their sentence to be played: a provider asks for few sentences ahead. Of more, the oldest goes.
const PROMPTS: usize = 8;
/// Frame times an utterance that is not finished may leave a part of a frame waiting for the rest.
const PATIENCE: u32 = 3;
/// A fade after a cut or a pause, or where a provider stalls, and the longest at the end of an utterance.
const FADE: Duration = Duration::from_millis(20);

/// How a cut sounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tail {
    /// 20 ms more, fading to nothing: no click. What waited of them counts as heard; the rest is made of what was heard
    /// last, and counts as nothing.
    Fade,
    /// Nothing more is sent, for instance while the call is on hold.
    Nothing,
}

/// One frame to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Exactly one packet time of audio, in the codec's law or PCM at the codec's rate.
    pub audio: Audio,
    /// Whose it is.
    pub utterance: UtteranceId,
    /// It is the first of its utterance.
    pub first: bool,
    /// The same as it was encoded beforehand, behind the packets of the frames before.
    pub packet: Option<Vec<u8>>,
}

/// The queue.
#[derive(Debug)]
pub struct Playout {
    codec: Codec,
    frame: usize,
    max_queued: Duration,
    utterances: VecDeque<Queued>,
    gain: Gain,
    /// What follows a cut or a pause.
    fade: VecDeque<Taken>,
    /// The caller has the word; what waits is kept.
    paused: bool,
    /// Frame times the part of a frame in front has waited for the rest.
    waited: u32,
    /// The frame before was of the utterance in front: a cut needs a fade.
    sounding: bool,
    /// That frame, if no whole one waits behind it: its provider delivers just in time.
    last: Option<Audio>,
    prompts: VecDeque<Arc<Prompt>>,
    /// The frame before was silence or a prompt's: a decoder that heard it is ready for a prompt's next packet.
    ready: bool,
    ended: VecDeque<Heard>,
    closed: VecDeque<Heard>,
    dropped: Duration,
    /// The part of that for which there was no room.
    overflowed: Duration,
}

impl Playout {
    /// A queue for `codec`, cut into frames of `ptime`, that holds at most `max_queued`.
    pub fn new(codec: Codec, ptime: Duration, max_queued: Duration) -> Self {
        Self {
            codec,
            frame: codec.sample_rate().samples_in(ptime),
            max_queued,
            utterances: VecDeque::new(),
            gain: Gain::FULL,
            fade: VecDeque::new(),
            paused: false,
            waited: 0,
            sounding: false,
            last: None,
            prompts: VecDeque::new(),
            ready: true,
            ended: VecDeque::new(),
            closed: VecDeque::new(),
            dropped: Duration::ZERO,
            overflowed: Duration::ZERO,
        }
    }

    /// The call goes on in another codec or packet time. What waits is kept, transcoded.
    pub fn renegotiate(&mut self, codec: Codec, ptime: Duration) {
        self.frame = codec.sample_rate().samples_in(ptime);
        self.fade.clear();
        self.prompts.clear();
        self.interrupt();
        if codec == self.codec {
            return;
        }
        self.codec = codec;
        for queued in &mut self.utterances {
            queued.transcode(codec);
        }
    }

    /// Something else is sent in between: what is queued of prompts is to be encoded anew.
    pub fn interrupt(&mut self) {
        self.utterances.iter_mut().for_each(Queued::forget_packets);
        (self.ready, self.last) = (false, None);
    }

    /// Keys are pressed meanwhile, or nothing is sent, in mid-sound perhaps: what waits goes on out of silence.
    pub fn give_way(&mut self) {
        self.interrupt();
        self.fade.clear();
        self.break_off();
    }

    /// A sentence that is to be played has been encoded, for the codec, packet time and receiver of this call.
    pub fn prepare(&mut self, prompt: Arc<Prompt>) {
        if self.prompts.len() >= PROMPTS {
            self.prompts.pop_front();
        }
        self.prompts.push_back(prompt);
    }

    /// Queues audio of an utterance behind what waits. Audio of an utterance that ended or was cut is stale and
    /// dropped, and so is what exceeds the bound.
    pub fn play(&mut self, utterance: UtteranceId, audio: &Audio) {
        let room = self.max_queued.saturating_sub(self.queued());
        if self.closed.iter().any(|heard| heard.utterance == utterance) {
            self.dropped += audio.duration();
            return;
        }
        let index = match self.utterances.iter().position(|queued| queued.utterance == utterance) {
            Some(index) => index,
            None => {
                self.utterances.push_back(Queued::new(utterance, self.codec));
                self.utterances.len() - 1
            }
        };
        let Some(queued) = self.utterances.get_mut(index) else { return };
        if queued.more != More::Awaited {
            self.dropped += audio.duration();
            if queued.more == More::Refused {
                self.overflowed += audio.duration(); // also where there is room again
            }
            return;
        }
        let before = queued.heard().queued;
        let prepared = self.prompts.iter().position(|prompt| prompt.is(audio));
        let prompt = prepared.and_then(|index| self.prompts.remove(index));
        match prompt.filter(|prompt| prompt.samples.len() <= self.codec.sample_rate().samples_in(room)) {
            Some(prompt) => queued.push_prompt(prompt),
            None => queued.push(audio, room),
        }
        let accepted = queued.heard().queued.saturating_sub(before);
        // The resampler keeps a few milliseconds back until the utterance is finished; only a full queue drops.
        if queued.more == More::Refused {
            let refused = audio.duration().saturating_sub(accepted);
            self.dropped += refused;
            self.overflowed += refused;
        }
    }

    /// No more audio of this utterance will come. Its end is told by [`Self::poll_ended`] once its last frame was
    /// taken; at once if nothing of it waits.
    pub fn finish(&mut self, utterance: UtteranceId) {
        if let Some(queued) = self.utterances.iter_mut().find(|queued| queued.utterance == utterance) {
            queued.finish();
            self.retire();
        } else if !self.closed.iter().any(|heard| heard.utterance == utterance) {
            self.close(Heard { utterance, played: Duration::ZERO, queued: Duration::ZERO }, End::Told);
        }
    }

    /// The next frame, `None` for silence. Where an utterance ends or follows another at once, and that would click, it
    /// fades; where it stopped in its middle, for a pause or because it starved, it always does: one sample does not tell
    /// what is around it.
    pub fn take(&mut self) -> Option<Taken> {
        let ready = std::mem::replace(&mut self.ready, false);
        if let Some(fade) = self.fade.pop_front() {
            return Some(fade);
        }
        let taken = self.take_audio(ready);
        self.ready = taken.as_ref().is_none_or(|taken| taken.packet.is_some());
        taken
    }

    fn take_audio(&mut self, ready: bool) -> Option<Taken> {
        self.retire();
        let before = std::mem::take(&mut self.sounding);
        if self.paused {
            return None;
        }
        let followed = self.utterances.len() > 1;
        let front = self.utterances.front_mut()?;
        let waiting = front.line.len();
        let ends = front.more != More::Awaited || followed;
        let complete = waiting >= self.frame || ends || self.waited >= PATIENCE;
        if waiting == 0 || !complete {
            self.waited += u32::from(waiting > 0);
            return if before { self.starve() } else { None };
        }
        // What is left when nothing follows in time is in mid-sound.
        let starves = waiting < self.frame && !ends;
        (self.waited, self.sounding) = (0, !starves);
        let first = !front.has_begun();
        let seam = (first && before && front.clicks()).then_some(0.0);
        if let Some(volume) = std::mem::replace(&mut front.rises, starves.then_some(0.0)).or(seam) {
            self.gain.rise(volume);
        }
        let utterance = front.utterance;
        let longest = self.codec.sample_rate().samples_in(FADE);
        let fade = match (ends, starves) {
            (true, _) => front.ending(self.frame, longest),
            (false, true) => longest.min(waiting),
            (false, false) => 0,
        };
        let untouched = fade == 0 && self.gain.is_full();
        let packet = if untouched && ready { front.packet(self.frame) } else { None };
        let mut audio = front.take_fading(self.frame, fade);
        if !self.gain.is_full() {
            audio = line::reshape(audio, |samples, rate| self.gain.apply(samples, rate));
        }
        self.last = (!ends && (self.frame..2 * self.frame).contains(&waiting)).then(|| audio.clone());
        line::pad(&mut audio, self.frame.saturating_sub(waiting));
        self.retire();
        Some(Taken { audio, utterance, first, packet })
    }

    /// The next utterance whose last frame was taken.
    pub fn poll_ended(&mut self) -> Option<Heard> {
        self.ended.pop_front()
    }

    /// Falls silent; what waits is kept, and what is played meanwhile waits too.
    pub fn pause(&mut self, tail: Tail) {
        if tail == Tail::Fade && self.sounding {
            self.fade = self.fading(self.gain);
        }
        self.break_off();
        self.paused = true;
    }

    /// Goes on after a pause, at full volume: out of silence if it was silenced in mid-sound.
    pub fn resume(&mut self) {
        self.gain.unduck();
        self.paused = false;
    }

    /// Empties the queue. Says what was heard of the utterance in front; all that wait are stale from here on. Volume
    /// is full again for what follows. `None` if nothing was queued.
    pub fn cut(&mut self, tail: Tail) -> Option<Heard> {
        let gain = std::mem::replace(&mut self.gain, Gain::FULL);
        if tail == Tail::Fade && self.sounding {
            self.fade = self.fading(gain);
        }
        (self.sounding, self.paused, self.waited) = (false, false, 0);
        let cut: Vec<Heard> = self.utterances.drain(..).map(|queued| queued.heard()).collect();
        for heard in &cut {
            self.close(*heard, End::Cut);
        }
        cut.first().copied()
    }

    /// Lowers the volume of what is sent from here on.
    pub fn duck(&mut self) {
        self.gain.duck();
    }

    /// The utterance in front, from its first audio until its last frame was taken.
    pub fn playing(&self) -> Option<UtteranceId> {
        self.utterances.front().map(|queued| queued.utterance)
    }

    /// What was heard of an utterance so far, or when it ended.
    pub fn heard(&self, utterance: UtteranceId) -> Option<Heard> {
        let queued = self.utterances.iter().find(|queued| queued.utterance == utterance).map(Queued::heard);
        queued.or_else(|| self.closed.iter().rev().find(|heard| heard.utterance == utterance).copied())
    }

    /// How much waits.
    pub fn queued(&self) -> Duration {
        let samples: usize = self.utterances.iter().map(|queued| queued.line.len()).sum();
        self.codec.sample_rate().duration_of(samples)
    }

    /// How much was refused: stale, or beyond the bound.
    pub fn dropped(&self) -> Duration {
        self.dropped
    }

    /// How much was refused beyond the bound. What is stale is no loss: a caller interrupted.
    pub fn overflowed(&self) -> Duration {
        self.overflowed
    }

    /// The frames that follow a cut: one, or two short ones. None where the utterance before has just ended: the next,
    /// of which nothing was heard, is not to begin for it.
    fn fading(&mut self, gain: Gain) -> VecDeque<Taken> {
        let longest = self.codec.sample_rate().samples_in(FADE);
        let Some(front) = self.utterances.front_mut().filter(|front| front.has_begun()) else { return VecDeque::new() };
        let utterance = front.utterance;
        let audio = match (front.line.len(), self.last.take()) {
            (waiting, Some(last)) if waiting < longest => {
                // The volume of the last is that of the moment already.
                let said = line::reshape(front.take(waiting), |samples, _| gain.hold(samples));
                line::reshape(line::continued(last, said, longest), |samples, _| Gain::FULL.fade_out(samples))
            }
            (0, _) => return VecDeque::new(),
            (waiting, _) => line::reshape(front.take(waiting.min(longest)), |samples, _| gain.fade_out(samples)),
        };
        let frames = line::frames(audio, self.frame).into_iter();
        frames.map(|audio| Taken { audio, utterance, first: false, packet: None }).collect()
    }

    /// What sounds falls silent.
    fn break_off(&mut self) {
        if std::mem::take(&mut self.sounding)
            && let Some(front) = self.utterances.front_mut()
        {
            front.break_off();
        }
    }

    /// Nothing of the utterance in front comes in time. Where silence would click, what was heard last goes on backwards,
    /// down to nothing, and counts as nothing; what comes next rises.
    fn starve(&mut self) -> Option<Taken> {
        let front = self.utterances.front_mut().filter(|front| front.has_begun())?;
        front.break_off();
        let last = self.last.take().filter(queued::clicks_behind)?;
        let length = self.codec.sample_rate().samples_in(FADE).min(self.frame);
        let audio = line::continued(last, front.line.take(0), length);
        let mut audio = line::reshape(audio, |samples, _| Gain::FULL.fade_out(samples));
        line::pad(&mut audio, self.frame.saturating_sub(length));
        Some(Taken { audio, utterance: front.utterance, first: false, packet: None })
    }

    /// Ends the utterances in front of which nothing is left: finished ones, and those another has followed.
    fn retire(&mut self) {
        while let Some(front) = self.utterances.front()
            && front.line.len() == 0
            && (front.more == More::Finished || self.utterances.len() > 1)
        {
            let heard = front.heard();
            self.utterances.pop_front();
            self.close(heard, End::Told);
        }
    }

    fn close(&mut self, heard: Heard, end: End) {
        match end {
            End::Told => self.ended.push_back(heard),
            End::Cut => {}
        }
        self.closed.push_back(heard);
        if self.closed.len() > REMEMBERED {
            self.closed.pop_front();
        }
    }
}

/// Whether [`Playout::poll_ended`] tells of it.
#[derive(Clone, Copy)]
enum End {
    Told,
    Cut,
}
