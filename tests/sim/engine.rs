//! The speech engine of the process, simulated: it speaks tones, and knows sentences by their length.
use media::Frame;
use providers::{Job, JobDone, JobId, JobOutput};
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// From a job to its result.
const WORK: Duration = Duration::from_millis(150);
/// How long a letter takes to say.
const LETTER: Duration = Duration::from_micros(62_500);
/// A turn that is longer or shorter than a sentence by more than this is not all of it.
const TOLERANCE: Duration = Duration::from_millis(120);

/// Jobs on their way, and the sentences that are understood.
#[derive(Debug, Default)]
pub(crate) struct Engine {
    known: Vec<(Duration, String)>,
    done: VecDeque<(Instant, JobDone)>,
}

impl Engine {
    /// One that understands these.
    pub(crate) fn knowing<'a>(sentences: impl IntoIterator<Item = (&'a Frame, &'a str)>) -> Self {
        let known = sentences.into_iter().map(|(frame, words)| (voiced(frame), words.to_owned())).collect();
        Self { known, done: VecDeque::new() }
    }

    pub(crate) fn submit(&mut self, id: JobId, job: Job, now: Instant) {
        let output = match job {
            Job::Speak { text, rate, .. } => {
                let (count, half) = (text.len() * rate.samples_in(LETTER), rate.hz() as usize / 1_000);
                let samples = (0..count).map(|n| if n / half % 2 == 0 { 6_000 } else { -6_000 }).collect();
                JobOutput::Speech(Frame { rate, samples })
            }
            Job::Transcribe { speech, .. } => JobOutput::Text(self.words(&speech)),
        };
        self.done.push_back((now + WORK, JobDone { id, result: Ok(output) }));
    }

    /// What is said in so much voice.
    fn words(&self, speech: &Frame) -> String {
        let length = voiced(speech);
        let known = self.known.iter().find(|(known, _)| known.abs_diff(length) <= TOLERANCE);
        known.map_or_else(|| format!("{} ms of something", length.as_millis()), |(_, words)| words.clone())
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.done.front().map(|(at, _)| *at)
    }

    pub(crate) fn poll(&mut self, now: Instant) -> Option<JobDone> {
        if self.next()? > now {
            return None;
        }
        self.done.pop_front().map(|(_, done)| done)
    }
}

/// From the first loud sample to the last.
fn voiced(frame: &Frame) -> Duration {
    let loud = |sample: &i16| sample.unsigned_abs() > 1_000;
    let first = frame.samples.iter().position(loud).unwrap_or_default();
    let last = frame.samples.iter().rposition(loud).unwrap_or_default();
    frame.rate.duration_of(last - first)
}
