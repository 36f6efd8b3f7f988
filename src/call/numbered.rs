//! Dialects that follow one another in a call: utterances and jobs of each are told apart from those of all others.
use media::{Audio, Heard, Speech, UtteranceId};
use providers::{
    Ahead, Dialect, Disconnect, Endpoint, Errand, Event, Formats, Incoming, JobId, KeysTaken, Line, Note, Outgoing,
    Part, Past, RequestId, Respond, ToolCallId, Unworded,
};
use std::time::Instant;

/// Numbers that one dialect may use: none makes so many utterances or jobs.
const ROOM: u64 = 1 << 32;

/// Which of the voices of a call: the later one has the higher number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Seat(u64);

impl Seat {
    /// That of sounds which are nobody's: no call has so many voices.
    pub(super) const TONES: Self = Self(ROOM - 1);

    /// The one after it.
    pub(super) const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// Whether an utterance is one of this seat's.
    pub(super) const fn has(self, utterance: UtteranceId) -> bool {
        self.inside(utterance.0).is_some()
    }

    /// The utterance of this number.
    pub(super) const fn utterance(self, number: u64) -> UtteranceId {
        UtteranceId(self.outside(number))
    }

    const fn outside(self, number: u64) -> u64 {
        self.0.saturating_mul(ROOM).saturating_add(number)
    }

    /// The dialect's own number; `None` for one of another seat.
    const fn inside(self, number: u64) -> Option<u64> {
        if number / ROOM == self.0 { Some(number % ROOM) } else { None }
    }

    fn own(self, heard: Heard) -> Option<Heard> {
        self.inside(heard.utterance.0).map(|number| Heard { utterance: UtteranceId(number), ..heard })
    }
}

/// A dialect in its seat. What belongs to another seat never reaches it.
#[derive(Debug)]
pub(super) struct Numbered {
    dialect: Box<dyn Dialect>,
    seat: Seat,
}

impl Numbered {
    pub(super) fn new(dialect: Box<dyn Dialect>, seat: Seat) -> Self {
        Self { dialect, seat }
    }

    /// Whether this job is one of its own.
    pub(super) const fn asked(&self, job: JobId) -> bool {
        self.seat.inside(job.0).is_some()
    }

    fn outside(&self, utterance: UtteranceId) -> UtteranceId {
        UtteranceId(self.seat.outside(utterance.0))
    }
}

impl Dialect for Numbered {
    fn endpoint(&self) -> Endpoint {
        self.dialect.endpoint()
    }

    fn formats(&self) -> Formats {
        self.dialect.formats()
    }

    fn resume(&mut self, past: Past) {
        self.dialect.resume(past);
    }

    fn handle_connected(&mut self, now: Instant) {
        self.dialect.handle_connected(now);
    }

    fn handle_ahead(&mut self, ahead: Ahead, now: Instant) {
        self.dialect.handle_ahead(ahead, now);
    }

    fn handle_incoming(&mut self, message: Incoming, now: Instant) {
        match message {
            Incoming::Job(mut done) => {
                if let Some(number) = self.seat.inside(done.id.0) {
                    done.id = JobId(number);
                    self.dialect.handle_incoming(Incoming::Job(done), now);
                }
            }
            Incoming::Text(_) | Incoming::Binary(_) => self.dialect.handle_incoming(message, now),
        }
    }

    fn handle_disconnected(&mut self, how: Disconnect, now: Instant) {
        self.dialect.handle_disconnected(how, now);
    }

    fn hears_again(&mut self, unworded: Unworded) -> bool {
        self.dialect.hears_again(unworded)
    }

    fn handle_audio(&mut self, audio: &Audio, now: Instant) {
        self.dialect.handle_audio(audio, now);
    }

    fn handle_speech(&mut self, speech: Speech, now: Instant) {
        self.dialect.handle_speech(speech, now);
    }

    fn handle_line(&mut self, line: Line, now: Instant) {
        self.dialect.handle_line(line, now);
    }

    fn keys_taken(&self) -> KeysTaken {
        self.dialect.keys_taken()
    }

    fn handle_keys(&mut self, keys: &str, now: Instant) {
        self.dialect.handle_keys(keys, now);
    }

    fn handle_played_out(&mut self, heard: Heard, now: Instant) {
        if let Some(heard) = self.seat.own(heard) {
            self.dialect.handle_played_out(heard, now);
        }
    }

    fn take_half(&mut self) -> Option<String> {
        self.dialect.take_half()
    }

    fn interrupt(&mut self, heard: Heard, now: Instant) {
        if let Some(heard) = self.seat.own(heard) {
            self.dialect.interrupt(heard, now);
        }
    }

    fn silenced(&mut self, now: Instant) {
        self.dialect.silenced(now);
    }

    fn answer_tool(&mut self, id: ToolCallId, output: String, respond: Respond, now: Instant) {
        self.dialect.answer_tool(id, output, respond, now);
    }

    fn inform(&mut self, note: Note, now: Instant) {
        self.dialect.inform(note, now);
    }

    fn answering_since(&self) -> Option<Instant> {
        self.dialect.answering_since()
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.dialect.handle_timeout(now);
    }

    fn poll_outgoing(&mut self) -> Option<Outgoing> {
        Some(match self.dialect.poll_outgoing()? {
            Outgoing::Job(id, job) => Outgoing::Job(JobId(self.seat.outside(id.0)), job),
            sent @ (Outgoing::Text(_) | Outgoing::Binary(_) | Outgoing::Ahead(_) | Outgoing::Close) => sent,
        })
    }

    fn poll_errand(&mut self) -> Option<Errand> {
        let outside = |id: RequestId| RequestId(self.seat.outside(id.0));
        Some(match self.dialect.poll_errand()? {
            Errand::Send(id, request) => Errand::Send(outside(id), request),
            Errand::Abort(id) => Errand::Abort(outside(id)),
            Errand::AbortAll => Errand::AbortAll,
            Errand::Job(id, job) => Errand::Job(JobId(self.seat.outside(id.0)), job),
        })
    }

    fn handle_answer(&mut self, id: RequestId, part: Part, now: Instant) {
        if let Some(number) = self.seat.inside(id.0) {
            self.dialect.handle_answer(RequestId(number), part, now);
        }
    }

    fn poll_event(&mut self) -> Option<Event> {
        Some(match self.dialect.poll_event()? {
            Event::Audio { utterance, audio } => Event::Audio { utterance: self.outside(utterance), audio },
            Event::UtteranceDone(utterance) => Event::UtteranceDone(self.outside(utterance)),
            Event::AssistantText { utterance, delta } => {
                Event::AssistantText { utterance: self.outside(utterance), delta }
            }
            Event::AssistantHeard { utterance, text } => {
                Event::AssistantHeard { utterance: self.outside(utterance), text }
            }
            event @ (Event::Ready
            | Event::Prepare
            | Event::Reconnect
            | Event::Working(_)
            | Event::SpeechStarted
            | Event::SpeechStopped
            | Event::CallerText(_)
            | Event::Thought
            | Event::ToolCall { .. }
            | Event::Usage(_)
            | Event::Receipt(_)
            | Event::Warning(_)
            | Event::Failed(_)) => event,
        })
    }

    fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        self.dialect.poll_timeout()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_seat_has_higher_numbers_and_none_of_an_earlier_one() {
        let (first, second) = (Seat::default(), Seat::default().next());
        assert_eq!(first.outside(7), 7, "the first speaks as if it were alone");
        assert!(second.outside(1) > first.outside(u64::from(u32::MAX)));
        assert_eq!((second.inside(second.outside(3)), second.inside(first.outside(3))), (Some(3), None));
        assert!(Seat::TONES.has(Seat::TONES.utterance(9)) && !Seat::TONES.has(second.utterance(9)));
    }
}
