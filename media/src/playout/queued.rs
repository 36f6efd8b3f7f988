//! One utterance in the queue, and how much of it was heard.
use std::{collections::VecDeque, sync::Arc, time::Duration};

use super::{
    gain,
    line::{self, Line},
};
use crate::{
    audio::{Audio, Heard, SampleRate, UtteranceId},
    codec::{Codec, g711},
    prompt::Prompt,
    resample::{self, Resampler},
};

/// Between silence and a sample that is louder (-42 dBov) there is a click. Speech that begins and ends by itself passes
/// untouched.
const CLICK: u16 = 256;

/// Whether silence right behind this would click.
pub(super) fn clicks_behind(audio: &Audio) -> bool {
    line::end(audio).unsigned_abs() > CLICK
}

/// Whether more of an utterance is to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum More {
    Awaited,
    /// Some of it did not fit: it ends there, since what came behind that would follow a hole.
    Refused,
    /// Its provider has said all.
    Finished,
}

#[derive(Debug)]
pub(super) struct Queued {
    pub(super) utterance: UtteranceId,
    pub(super) line: Line,
    /// Samples taken for sending, at the line's rate.
    played: usize,
    /// Samples queued, at the line's rate.
    accepted: usize,
    /// What was counted before the call's codec changed.
    before: Before,
    pub(super) more: More,
    /// How many samples fade at its end, once that is near.
    ending: Option<usize>,
    /// It fell silent in mid-sound, or went down to so much of its volume: what comes next rises out of that.
    pub(super) rises: Option<f32>,
    /// For audio of another rate than the line's; it carries the filter's past from push to push.
    resampler: Option<Resampler>,
    /// Of what comes out of it: the silence it begins with, where that would be a hole in what is said.
    early: usize,
    /// Packets made beforehand of parts of the line.
    runs: VecDeque<Run>,
}

/// Packets of a prompt that are not sent yet. Each was encoded after the one before: once one of them is passed over, the
/// rest fits no decoder. So none is sent of a prompt that follows live audio at once, and begins in the middle of a frame.
#[derive(Debug)]
struct Run {
    /// Where the first of them begins, counted as `Queued::played` is.
    next: usize,
    prompt: Arc<Prompt>,
    /// How many of its packets were sent.
    sent: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Before {
    played: Duration,
    queued: Duration,
}

impl Queued {
    pub(super) fn new(utterance: UtteranceId, codec: Codec) -> Self {
        Self {
            utterance,
            line: Line::new(codec),
            played: 0,
            accepted: 0,
            before: Before::default(),
            more: More::Awaited,
            ending: None,
            rises: None,
            resampler: None,
            early: 0,
            runs: VecDeque::new(),
        }
    }

    /// Whether any of it was taken for sending.
    pub(super) fn has_begun(&self) -> bool {
        self.played > 0 || !self.before.played.is_zero()
    }

    pub(super) fn heard(&self) -> Heard {
        let rate = self.line.rate();
        Heard {
            utterance: self.utterance,
            played: self.before.played + rate.duration_of(self.played),
            queued: self.before.queued + rate.duration_of(self.accepted),
        }
    }

    pub(super) fn push(&mut self, audio: &Audio, room: Duration) {
        self.extend();
        let rate = audio.format().rate();
        if self.resampler.as_ref().is_some_and(|resampler| resampler.from() != rate) {
            self.settle();
        }
        let room = self.line.rate().samples_in(room);
        match audio {
            Audio::G711 { law, bytes } => match self.line.push_bytes(*law, bytes, room) {
                Some(accepted) => self.count(bytes.len(), accepted),
                None => self.push_pcm(SampleRate::HZ_8000, &g711::decode(*law, bytes), room),
            },
            Audio::Pcm(frame) => self.push_pcm(frame.rate, &frame.samples, room),
        }
    }

    /// The same of a prompt in the line's form, if all of it fits.
    pub(super) fn push_prompt(&mut self, prompt: Arc<Prompt>) {
        self.extend();
        self.settle();
        let next = self.played + self.line.len();
        let accepted = self.line.push_pcm(&prompt.samples, prompt.samples.len());
        self.count(accepted, accepted);
        self.runs.push_back(Run { next, prompt, sent: 0 });
    }

    /// What waits is to be encoded anew.
    pub(super) fn forget_packets(&mut self) {
        self.runs.clear();
    }

    /// It falls silent in its middle: what comes next rises out of that.
    pub(super) fn break_off(&mut self) {
        if self.has_begun() {
            self.rises.get_or_insert(0.0);
        }
    }

    /// No more will come.
    pub(super) fn finish(&mut self) {
        self.more = More::Finished;
        self.settle();
    }

    /// What waits is not the end. What has begun to fade for it comes back.
    fn extend(&mut self) {
        if let Some(fade) = self.ending.take().filter(|fade| self.line.len() < *fade) {
            self.rises = Some(gain::half_cosine(self.line.len() as f32 / fade as f32));
        }
    }

    /// What the resampler keeps back belongs before what comes next.
    fn settle(&mut self) {
        if let Some(mut resampler) = self.resampler.take() {
            let rest = self.in_place(resampler.flush());
            self.accepted += self.line.push_pcm(&rest, rest.len());
        }
    }

    /// The packet that is the next `count` samples, which are to be taken then.
    pub(super) fn packet(&mut self, count: usize) -> Option<Vec<u8>> {
        let run = self.runs.front_mut().filter(|run| run.next == self.played)?;
        let packet = run.prompt.packets.get(run.sent).cloned();
        (run.next, run.sent) = (run.next + count, run.sent + 1);
        packet
    }

    /// At most `count` samples for sending.
    pub(super) fn take(&mut self, count: usize) -> Audio {
        self.played += count.min(self.line.len());
        while self.runs.front().is_some_and(|run| run.next < self.played || run.sent >= run.prompt.packets.len()) {
            self.runs.pop_front();
        }
        self.line.take(count)
    }

    /// The same with `fade` from [`Self::ending`].
    pub(super) fn take_fading(&mut self, count: usize, fade: usize) -> Audio {
        let waiting = self.line.len();
        let audio = self.take(count);
        if fade == 0 {
            return audio;
        }
        line::reshape(audio, |samples, _| gain::fade_to_end(samples, waiting, fade))
    }

    /// Where what waits is followed by silence or by somebody else: how many of its last samples, at most `longest`, go
    /// down to nothing, if they begin within the next `count` and there would be a click.
    pub(super) fn ending(&mut self, count: usize, longest: usize) -> usize {
        let waiting = self.line.len();
        if waiting >= count + longest {
            return 0;
        }
        let clicks = self.line.last().unsigned_abs() > CLICK;
        *self.ending.get_or_insert(if clicks { longest.min(waiting) } else { 0 })
    }

    /// Whether its beginning would click after somebody else's end.
    pub(super) fn clicks(&self) -> bool {
        self.line.first().unsigned_abs() > CLICK
    }

    pub(super) fn transcode(&mut self, codec: Codec) {
        self.extend();
        self.settle();
        let (heard, waiting) = (self.heard(), self.line.len());
        let waiting_for = self.line.rate().duration_of(waiting);
        let rest = self.line.take(waiting);
        let finished = self.more == More::Finished;
        self.before = Before { played: heard.played, queued: heard.queued.saturating_sub(waiting_for) };
        (self.line, self.played, self.accepted) = (Line::new(codec), 0, 0);
        self.push(&rest, waiting_for + Duration::from_millis(1));
        if finished {
            self.finish();
        }
    }

    fn push_pcm(&mut self, rate: SampleRate, samples: &[i16], room: usize) {
        if rate == self.line.rate() {
            let accepted = self.line.push_pcm(samples, room);
            return self.count(samples.len(), accepted);
        }
        let resampler = self.resampler.take().map_or_else(|| self.begin(rate), Ok);
        let Ok(mut resampler) = resampler else {
            return self.count(samples.len(), 0); // a rate that cannot be converted is refused like what does not fit
        };
        let resampled = self.in_place(resampler.process(samples));
        self.resampler = Some(resampler);
        let accepted = self.line.push_pcm(&resampled, room);
        self.count(resampled.len(), accepted);
    }

    /// A resampler from this rate on. In mid-utterance its first sample follows what is there at once.
    fn begin(&mut self, rate: SampleRate) -> Result<Resampler, resample::Error> {
        let resampler = Resampler::new(rate, self.line.rate())?;
        let is_first = self.accepted == 0 && self.before.queued.is_zero();
        self.early = if is_first { 0 } else { self.line.rate().samples_in(resampler.delay()) };
        Ok(resampler)
    }

    /// What came out of it, as it goes on.
    fn in_place(&mut self, mut resampled: Vec<i16>) -> Vec<i16> {
        let early = self.early.min(resampled.len());
        self.early -= early;
        resampled.drain(..early);
        resampled
    }

    fn count(&mut self, offered: usize, accepted: usize) {
        self.accepted += accepted;
        if accepted < offered {
            self.more = More::Refused;
            self.resampler = None; // what it keeps back is of what did not fit
        }
    }
}
