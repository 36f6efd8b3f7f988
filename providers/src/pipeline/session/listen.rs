//! From what was heard to what is answered.
use super::Session;
use crate::{
    Event, Failure, FailureKind, Job, JobId, JobOutput, Part, RequestId, Usage,
    pipeline::{
        config::Hearing,
        ears::Noticed,
        fault,
        uplink::Uplink,
        wire::{listen, transcription},
    },
};
use media::Frame;
use std::time::{Duration, Instant};

/// How long a turn may take to be written down; whoever is later is silent.
const WRITTEN: Duration = Duration::from_secs(5);
/// Turns that are awaited at once; of a caller who talks faster the oldest of them is forgotten.
const MOST_WRITING: usize = 3;
/// The most of a transcription that is read, bytes.
const LONGEST: usize = 64 << 10;
const WHO: &str = "transcription";
/// Who says only this lets her go on.
const BACKCHANNELS: [&str; 12] =
    ["uhhuh", "mhm", "mmhmm", "mm", "hm", "hmm", "aham", "ahã", "uhum", "ajá", "ah", "right"];

/// A turn on its way to words.
#[derive(Debug)]
pub(super) struct Writing {
    by: By,
    state: State,
    /// What is to be written down, until it was asked for a second time.
    speech: Option<Frame>,
}

#[derive(Debug)]
enum By {
    Request(RequestId),
    Job(JobId),
}

#[derive(Debug)]
enum State {
    Awaited { deadline: Instant, status: Option<u16>, body: Vec<u8> },
    Written(String),
}

impl State {
    fn awaited(now: Instant) -> Self {
        Self::Awaited { deadline: now + WRITTEN, status: None, body: Vec::new() }
    }
}

impl Writing {
    pub(super) const fn deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Awaited { deadline, .. } => Some(*deadline),
            State::Written(_) => None,
        }
    }

    pub(super) fn abort(&self, out: &mut super::Out) {
        if let (By::Request(id), State::Awaited { .. }) = (&self.by, &self.state) {
            out.abort(*id);
        }
    }
}

impl Session {
    /// A message of the listening socket.
    pub(super) fn hear(&mut self, text: &str, now: Instant) {
        match serde_json::from_str::<listen::Heard>(text) {
            Ok(heard) => {
                self.lost_connections = 0;
                let noticed = self.ears.hear(heard);
                self.notice(noticed, now);
            }
            Err(_) => self.out.warn("a message of the speech recognition that is none of its messages"),
        }
    }

    pub(super) fn notice(&mut self, noticed: Vec<Noticed>, now: Instant) {
        for noticed in noticed {
            match noticed {
                Noticed::Started => {
                    self.out.events.push_back(Event::SpeechStarted);
                    self.caller_goes_on();
                }
                Noticed::Eager(words) if !words.is_empty() => self.reply_in_advance(words, now),
                Noticed::Eager(_) => {}
                Noticed::Resumed => self.drop_eager(),
                Noticed::Ended(words) => self.turn_ended(&words),
                Noticed::Turn(speech) => self.write_down(speech, now),
                Noticed::Finalize => self.uplink.iter_mut().for_each(Uplink::finalize),
                Noticed::Understood(until_s) => {
                    self.uplink.iter_mut().for_each(|uplink| uplink.understood(until_s));
                }
                Noticed::Trouble(words) => self.out.warn(words),
                Noticed::Broken(message) => {
                    let message = format!("speech recognition: {message}");
                    return self.fail(Failure { kind: FailureKind::Unavailable, message });
                }
            }
        }
    }

    fn turn_ended(&mut self, words: &str) {
        if words.is_empty() {
            return self.drop_eager();
        }
        let text = Event::CallerText(words.to_owned());
        if self.playing.is_some() {
            let letters = words.to_lowercase().replace(|c: char| !c.is_alphabetic(), "");
            if BACKCHANNELS.contains(&letters.as_str()) {
                self.out.events.push_back(text);
                return self.drop_eager();
            }
            // Heard by the service: who speaks words wants to be heard.
            self.out.events.push_back(Event::SpeechStarted);
            // Given out now, it would be cut off together with what is playing.
            self.drop_eager();
        }
        self.out.events.extend([Event::SpeechStopped, text]);
        match &mut self.playing {
            // The model must not be told of what is about to be cut.
            Some(playing) => playing.over = Some(join(playing.over.take(), words)),
            None => self.reply_to(words),
        }
    }

    fn write_down(&mut self, speech: Frame, now: Instant) {
        let transcribed = speech.duration();
        let Some(by) = self.ask_for_words(&speech) else { return };
        self.join_written();
        let is_awaited = |writing: &Writing| writing.deadline().is_some();
        let oldest = self.writing.iter().position(is_awaited);
        if self.writing.iter().filter(|writing| is_awaited(writing)).count() >= MOST_WRITING
            && let Some(oldest) = oldest.and_then(|at| self.writing.remove(at))
        {
            oldest.abort(&mut self.out);
            self.out.warn("a turn of the caller was forgotten: transcription is too slow");
        }
        self.out.events.push_back(Event::Usage(Usage { transcribed, ..Usage::default() }));
        self.writing.push_back(Writing { by, state: State::awaited(now), speech: Some(speech) });
    }

    /// Neighbours that are in words become one, so that what is kept is as bounded as what is awaited.
    fn join_written(&mut self) {
        for next in std::mem::take(&mut self.writing) {
            match (self.writing.back_mut().map(|last| &mut last.state), &next.state) {
                (Some(State::Written(words)), State::Written(more)) => {
                    *words = format!("{words} {more}").trim().to_owned()
                }
                (_, _) => self.writing.push_back(next),
            }
        }
    }

    /// Words that wait for the end of the caller's turn, or for an earlier turn's.
    pub(super) fn take_written(&mut self) -> Option<String> {
        let words = std::mem::take(&mut self.writing).into_iter().filter_map(|writing| match writing.state {
            State::Written(words) if !words.is_empty() => Some(words),
            State::Written(_) | State::Awaited { .. } => None,
        });
        words.reduce(|before, words| format!("{before} {words}"))
    }

    fn ask_for_words(&mut self, speech: &Frame) -> Option<By> {
        let language = self.config.language.as_deref();
        match &self.config.hearing {
            Hearing::Transcriptions { at, model } => {
                Some(By::Request(self.out.request(transcription::request(at, model, language, speech))))
            }
            Hearing::Engine => {
                let language = language.unwrap_or("en-US").to_owned();
                Some(By::Job(self.out.job(Job::Transcribe { speech: speech.clone(), language })))
            }
            Hearing::Nova { .. } | Hearing::Flux { .. } => None,
        }
    }

    /// A part of a transcription; false if it is none.
    pub(super) fn written(&mut self, id: RequestId, part: &Part, now: Instant) -> bool {
        let own = |writing: &&mut Writing| matches!(writing.by, By::Request(asked) if asked == id);
        let Some(writing) = self.writing.iter_mut().find(own) else { return false };
        let State::Awaited { status, body, .. } = &mut writing.state else { return true };
        match part {
            Part::Head { status: head, .. } => *status = Some(*head),
            Part::Chunk(bytes) => {
                let room = LONGEST.saturating_sub(body.len()).min(bytes.len());
                body.extend(bytes.iter().take(room));
            }
            Part::End => {
                let fault = match (*status, transcription::words(body)) {
                    (Some(200..=299), Some(words)) => {
                        writing.state = State::Written(words);
                        return true;
                    }
                    (Some(200..=299) | None, _) => fault::broken(WHO, "an answer without words"),
                    (Some(status), _) => fault::refused(WHO, self.config.hearing.key(), status, body),
                };
                self.unwritten(id, fault, now);
            }
            Part::Failed(why) => self.unwritten(id, fault::broken(WHO, why), now),
        }
        true
    }

    fn unwritten(&mut self, id: RequestId, fault: fault::Fault, now: Instant) {
        let own = |writing: &Writing| matches!(writing.by, By::Request(asked) if asked == id);
        if let Some(at) = self.writing.iter().position(own) {
            self.ask_again(at, fault, now);
        }
    }

    /// A turn is asked for once more. Without its words the conversation cannot go on here: whoever takes over hears the
    /// caller again.
    fn ask_again(&mut self, at: usize, fault: fault::Fault, now: Instant) {
        let speech = self.writing.get_mut(at).filter(|_| fault.transient).and_then(|writing| writing.speech.take());
        let Some(by) = speech.and_then(|speech| self.ask_for_words(&speech)) else {
            return self.fail(fault.failure);
        };
        self.out.warn(fault.failure.message);
        if let Some(writing) = self.writing.get_mut(at) {
            (writing.by, writing.state) = (by, State::awaited(now));
        }
    }

    /// The engine's words, or what was not for us.
    pub(super) fn recognised(
        &mut self,
        id: JobId,
        result: Result<JobOutput, String>,
        now: Instant,
    ) -> Option<Result<JobOutput, String>> {
        let own = |writing: &Writing| matches!(writing.by, By::Job(asked) if asked == id);
        let Some(at) = self.writing.iter().position(own) else { return Some(result) };
        match result {
            Ok(JobOutput::Text(words)) => {
                self.writing.iter_mut().filter(|writing| own(writing)).for_each(|writing| {
                    writing.state = State::Written(words.trim().to_owned());
                });
            }
            Ok(JobOutput::Speech(_)) => drop(self.writing.remove(at)),
            Err(why) => self.ask_again(at, fault::broken(WHO, &why), now),
        }
        None
    }

    pub(super) fn writing_late(&mut self, now: Instant) {
        let late = |writing: &Writing| writing.deadline().is_some_and(|deadline| deadline <= now);
        if self.writing.iter().any(late) {
            self.fail(Failure { kind: FailureKind::Silence, message: format!("{WHO}: nothing within {WRITTEN:?}") });
        }
    }

    /// Answers when all that was said is in words and the caller is silent.
    pub(super) fn settle(&mut self) {
        let awaited = self.writing.iter().any(|writing| writing.deadline().is_some());
        if awaited || self.writing.is_empty() || self.ears.is_talking() {
            return;
        }
        if let Some(words) = self.take_written() {
            self.turn_ended(&words);
        }
    }
}

/// Words, behind those before.
fn join(before: Option<String>, words: &str) -> String {
    before.map_or_else(|| words.to_owned(), |before| format!("{before} {words}"))
}

impl Hearing {
    fn key(&self) -> Option<&str> {
        match self {
            Self::Nova { at, .. } | Self::Flux { at, .. } | Self::Transcriptions { at, .. } => at.api_key.as_deref(),
            Self::Engine => None,
        }
    }
}
