//! A voice for a call whose provider died: it says so, and what follows. It hears nothing.
use super::{
    Language,
    mouth::{After, Floor, Kind, Line, Mouth, Origin, Reply},
    phrases::phrases,
    session::Out,
    text,
};
use crate::{Dialect, Disconnect, Endpoint, Event, Formats, Incoming, KeysTaken, Note, Outgoing, Respond, ToolCallId};
use media::{Audio, AudioFormat, Heard, SampleRate, Speech};
use std::time::Instant;

/// It hears nothing, so it need not be much.
const UPLINK: AudioFormat = AudioFormat::Pcm(SampleRate::HZ_8000);

/// What is to be said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Of the secretary's own words.
    pub language: Language,
    /// What the notice itself is spoken in: `language`, unless no voice for it is installed.
    pub voice: Language,
    /// What her keys do, verbatim.
    pub announcement: Option<String>,
}

/// What the notice is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// Another provider is on its way.
    Moment,
    /// There is none, and the caller's keys lead on.
    Menu,
    /// There is none, and the caller is put through to somebody.
    Transfer,
    /// There is none, and the call ends.
    Goodbye,
}

impl Notice {
    /// Every sentence of our own that a notice may have: what an engine should have spoken before it is needed.
    pub fn sentences(voice: Language) -> Vec<String> {
        let own = phrases(voice);
        let all = [own.moment, own.assistant_gone, own.putting_through, own.say_goodbye];
        all.into_iter().flat_map(text::sentences).collect()
    }
}

/// Says the notice whenever it is connected, and from then on what it is told to.
#[derive(Debug)]
pub struct Announcer {
    notice: Notice,
    occasion: Occasion,
    mouth: Mouth,
    out: Out,
}

impl Announcer {
    /// Silent until [`Dialect::handle_connected`] is called; then it speaks at this rate at the most.
    pub fn new(notice: Notice, occasion: Occasion, spoken_at: SampleRate) -> Self {
        Self { notice, occasion, mouth: Mouth::new(spoken_at), out: Out::default() }
    }

    fn lines(&self, text: &str, language: Language) -> Vec<Line> {
        text::sentences(text).into_iter().map(|text| Line::Text { text, language }).collect()
    }

    fn announcement(&self) -> Vec<Line> {
        let text = self.notice.announcement.as_deref().unwrap_or_default();
        self.lines(text, self.notice.language)
    }

    fn say(&mut self, lines: Vec<Line>, now: Instant) {
        self.mouth.say(Reply { lines, after: After::Listen, kind: Kind::Remark }, Origin::Us);
        self.advance(now);
    }

    fn advance(&mut self, now: Instant) {
        self.mouth.advance(Floor::Free, now, &mut self.out);
    }
}

impl Dialect for Announcer {
    fn endpoint(&self) -> Endpoint {
        Endpoint::Engine
    }

    fn formats(&self) -> Formats {
        Formats { uplink: UPLINK, downlink: AudioFormat::Pcm(self.mouth.rate()) }
    }

    fn handle_connected(&mut self, now: Instant) {
        let Notice { language, voice, .. } = self.notice;
        if voice != language && self.occasion == Occasion::Menu {
            let text = format!("there is no voice for {}: an {} one reads its texts", language.tag(), voice.tag());
            self.out.events.push_back(Event::Warning(text));
        }
        let own = phrases(voice);
        let said = |phrase: &str| self.lines(phrase, voice);
        let lines = match self.occasion {
            Occasion::Moment => said(own.moment),
            Occasion::Menu => [said(own.assistant_gone), self.announcement()].concat(),
            Occasion::Transfer => [said(own.assistant_gone), said(own.putting_through)].concat(),
            Occasion::Goodbye => [said(own.assistant_gone), said(own.say_goodbye)].concat(),
        };
        self.say(lines, now);
    }

    fn handle_incoming(&mut self, message: Incoming, now: Instant) {
        match message {
            Incoming::Job(done) => self.mouth.job_done(done.id, done.result, &mut self.out),
            // The last of a connection that is gone.
            Incoming::Text(_) | Incoming::Binary(_) => {}
        }
        self.advance(now);
    }

    fn handle_disconnected(&mut self, _how: Disconnect, _now: Instant) {}

    fn handle_audio(&mut self, _audio: &Audio, _now: Instant) {}

    fn handle_speech(&mut self, _speech: Speech, _now: Instant) {}

    fn keys_taken(&self) -> KeysTaken {
        KeysTaken::AsEntry
    }

    fn handle_keys(&mut self, _keys: &str, _now: Instant) {}

    fn handle_played_out(&mut self, _heard: Heard, _now: Instant) {}

    fn interrupt(&mut self, heard: Heard, now: Instant) {
        self.mouth.cut(heard.utterance);
        self.advance(now);
    }

    fn answer_tool(&mut self, _id: ToolCallId, _output: String, _respond: Respond, _now: Instant) {}

    fn inform(&mut self, note: Note, now: Instant) {
        match note {
            Note::Say { text } => self.say(self.lines(&text, self.notice.language), now),
            Note::TransferFailed { .. } => self.say(self.announcement(), now),
            Note::SayGoodbye { .. } => {
                let voice = self.notice.voice;
                self.say(self.lines(phrases(voice).say_goodbye, voice), now);
            }
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.mouth.handle_timeout(now, &mut self.out);
        self.advance(now);
    }

    fn poll_outgoing(&mut self) -> Option<Outgoing> {
        self.out.poll_outgoing()
    }

    fn poll_event(&mut self) -> Option<Event> {
        self.out.events.pop_front()
    }

    fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        self.mouth.deadline().map(|deadline| (deadline, "speech synthesis"))
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test needs one origin of time")]
mod tests {
    use super::*;
    use crate::{Job, JobDone, JobOutput};
    use media::{Frame, UtteranceId};
    use std::time::Duration;

    const RATE: SampleRate = SampleRate::HZ_16000;

    /// Speaks whatever is to be spoken; the words, each with its utterance.
    fn spoken(announcer: &mut Announcer, now: Instant) -> Vec<(u64, String)> {
        while let Some(outgoing) = announcer.poll_outgoing() {
            let Outgoing::Job(id, Job::Speak { rate: RATE, .. }) = outgoing else { panic!("{outgoing:?}") };
            let frame = Frame { rate: RATE, samples: vec![500; 1_600] };
            let done = JobDone { id, result: Ok(JobOutput::Speech(frame)) };
            announcer.handle_incoming(Incoming::Job(done), now);
        }
        let events = std::iter::from_fn(|| announcer.poll_event());
        let texts = events.filter_map(|event| match event {
            Event::AssistantText { utterance, delta } => Some((utterance.0, delta.trim().to_owned())),
            _ => None,
        });
        texts.collect()
    }

    #[test]
    fn the_notice_and_what_keys_do_are_said_and_what_an_option_says_after_it() {
        let now = Instant::now();
        let (language, announcement) = (Language::PtBr, Some("Tecle 1 para vendas.".to_owned()));
        let notice = Notice { language, voice: language, announcement };
        let mut announcer = Announcer::new(notice, Occasion::Menu, RATE);
        announcer.handle_connected(now);
        let said = spoken(&mut announcer, now);
        let texts: Vec<&str> = said.iter().map(|(_, text)| text.as_str()).collect();
        assert_eq!(texts, ["Nossa assistente não está disponível no momento.", "Tecle 1 para vendas."]);
        assert!(said.iter().all(|(utterance, _)| *utterance == 1));
        announcer.inform(Note::Say { text: "Das oito às dezoito.".into() }, now);
        assert_eq!(spoken(&mut announcer, now), [(2, "Das oito às dezoito.".to_owned())]);
        announcer.inform(Note::TransferFailed { destination: "vendas".into(), reason: "busy".into() }, now);
        assert_eq!(spoken(&mut announcer, now), [(3, "Tecle 1 para vendas.".to_owned())]);
    }

    #[test]
    fn every_sentence_of_its_own_can_be_spoken_beforehand() {
        let now = Instant::now();
        for voice in [Language::PtBr, Language::EnUs] {
            let known = Notice::sentences(voice);
            for occasion in [Occasion::Moment, Occasion::Menu, Occasion::Transfer, Occasion::Goodbye] {
                let notice = Notice { language: voice, voice, announcement: None };
                let mut announcer = Announcer::new(notice, occasion, RATE);
                announcer.handle_connected(now);
                let said = spoken(&mut announcer, now);
                assert!(!said.is_empty() && said.iter().all(|(_, text)| known.contains(text)), "{said:?}");
            }
        }
    }

    #[test]
    fn what_is_cut_is_not_finished() {
        let now = Instant::now();
        let notice = Notice { language: Language::EnUs, voice: Language::EnUs, announcement: None };
        let mut announcer = Announcer::new(notice, Occasion::Menu, RATE);
        announcer.handle_connected(now);
        let (played, queued) = (Duration::ZERO, Duration::ZERO);
        let heard = Heard { utterance: UtteranceId(1), played, queued };
        announcer.interrupt(heard, now);
        assert!(spoken(&mut announcer, now).is_empty() && announcer.poll_timeout().is_none());
    }
}
