//! Pieces of one answer on their way to speech: asked for ahead, heard in order.
use super::{
    config::{Config, Voice},
    fault::{self, Fault},
    session::Out,
    sound::Decoder,
    text,
    wire::voice::{self, PiperPath},
};
use crate::{Event, Job, JobId, JobOutput, Part, RequestId, Usage};
use media::{Audio, UtteranceId};
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// How long a voice may be silent.
const SILENCE: Duration = Duration::from_secs(6);
/// Pieces in the making at once: the next is ready when the one before it has been said.
const AHEAD: usize = 2;
/// The most of one piece that is taken, bytes: two minutes at the highest rate.
const LONGEST_PIECE: usize = 6 << 20;
/// The most that is read of a refusal, bytes.
const LONGEST_REFUSAL: usize = 8 << 10;
const WHO: &str = "voice";

/// What all answers of a conversation are spoken with.
#[derive(Debug)]
pub(super) struct Larynx<'a> {
    pub(super) config: &'a Config,
    pub(super) piper: &'a mut PiperPath,
}

/// One answer's pieces.
#[derive(Debug, Default)]
pub(super) struct Mouth {
    pieces: VecDeque<Piece>,
}

#[derive(Debug)]
struct Piece {
    shown: String,
    spoken: String,
    state: State,
    /// Whether its words have been given out.
    begun: bool,
    asked_before: bool,
}

#[derive(Debug)]
enum State {
    Waiting,
    Request {
        id: RequestId,
        decoder: Decoder,
        refusal: Option<(u16, Vec<u8>)>,
        deadline: Instant,
        taken: usize,
        made: Vec<Audio>,
    },
    Job {
        id: JobId,
        deadline: Instant,
    },
    Made(Vec<Audio>),
}

impl Mouth {
    /// The next piece.
    pub(super) fn say(&mut self, shown: String, language: Option<&str>) {
        let spoken = text::spoken(&shown, language);
        if spoken.chars().any(char::is_alphanumeric) {
            self.pieces.push_back(Piece { shown, spoken, state: State::Waiting, begun: false, asked_before: false });
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Whether a piece is being made, or was.
    pub(super) fn has_sound(&self) -> bool {
        self.pieces.iter().any(|piece| !matches!(&piece.state, State::Made(made) if made.is_empty()))
    }

    /// Nothing of it is wanted any more.
    pub(super) fn abort(&mut self, out: &mut Out) {
        for piece in self.pieces.drain(..) {
            if let State::Request { id, .. } = piece.state {
                out.abort(id);
            }
        }
    }

    /// Asks for the next pieces.
    pub(super) fn ask(&mut self, larynx: &mut Larynx<'_>, now: Instant, out: &mut Out) {
        for piece in self.pieces.iter_mut().take(AHEAD) {
            if matches!(piece.state, State::Waiting) {
                piece.ask(larynx, now, out);
            }
        }
    }

    /// Gives out what is made, in order: the words of a piece with its first sound.
    pub(super) fn give(&mut self, utterance: UtteranceId, out: &mut Out) {
        while let Some(piece) = self.pieces.front_mut() {
            let (made, complete) = match &mut piece.state {
                State::Waiting | State::Job { .. } => return,
                State::Request { made, .. } => (std::mem::take(made), false),
                State::Made(made) => (std::mem::take(made), true),
            };
            for audio in made {
                if !std::mem::replace(&mut piece.begun, true) {
                    out.says(utterance, &piece.shown);
                }
                out.speak(utterance, audio);
            }
            if !complete {
                return;
            }
            out.said(utterance);
            self.pieces.pop_front();
        }
    }

    /// A part of a service's answer; false if it is to none of these pieces.
    ///
    /// # Errors
    /// A piece cannot be spoken; it is given up.
    pub(super) fn handle(
        &mut self,
        id: RequestId,
        part: Part,
        larynx: &mut Larynx<'_>,
        now: Instant,
    ) -> Result<bool, Fault> {
        let own = |piece: &&mut Piece| matches!(&piece.state, State::Request { id: asked, .. } if *asked == id);
        let Some(piece) = self.pieces.iter_mut().find(own) else { return Ok(false) };
        piece.handle(part, larynx, now).map(|()| true)
    }

    /// The engine's answer; false if it is to none of these pieces.
    ///
    /// # Errors
    /// A piece cannot be spoken; it is given up.
    pub(super) fn job_done(&mut self, id: JobId, result: Result<JobOutput, String>) -> Result<bool, Fault> {
        let own = |piece: &&mut Piece| matches!(piece.state, State::Job { id: asked, .. } if asked == id);
        let Some(piece) = self.pieces.iter_mut().find(own) else { return Ok(false) };
        piece.state = State::Made(Vec::new());
        match result {
            Ok(JobOutput::Speech(frame)) => piece.state = State::Made(vec![Audio::Pcm(frame)]),
            Ok(JobOutput::Text(_)) => return Err(fault::broken(WHO, "the engine wrote instead of speaking")),
            Err(why) => return Err(fault::broken(WHO, &why)),
        }
        Ok(true)
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let of = |piece: &Piece| match piece.state {
            State::Request { deadline, .. } | State::Job { deadline, .. } => Some(deadline),
            State::Waiting | State::Made(_) => None,
        };
        self.pieces.iter().filter_map(of).min()
    }

    /// # Errors
    /// A piece took too long; it is given up.
    pub(super) fn handle_timeout(&mut self, now: Instant, out: &mut Out) -> Result<(), Fault> {
        for piece in &mut self.pieces {
            match piece.state {
                State::Request { id, deadline, .. } if deadline <= now => out.abort(id),
                State::Job { deadline, .. } if deadline <= now => {}
                State::Request { .. } | State::Job { .. } | State::Waiting | State::Made(_) => continue,
            }
            return piece.give_up(fault::broken(WHO, &format!("nothing for {SILENCE:?}")));
        }
        Ok(())
    }
}

impl Piece {
    fn ask(&mut self, larynx: &mut Larynx<'_>, now: Instant, out: &mut Out) {
        let Config { voice, call, language, .. } = larynx.config;
        let deadline = now + SILENCE;
        let language = language.as_deref();
        let request = voice::request(voice, &self.spoken, *call, language, *larynx.piper);
        self.state = match (request, voice::encoding(voice, *call)) {
            (Some(request), Some(encoding)) => {
                if !self.asked_before {
                    let spoken_characters = self.spoken.chars().count() as u64;
                    out.events.push_back(Event::Usage(Usage { spoken_characters, ..Usage::default() }));
                }
                let (id, decoder) = (out.request(request), Decoder::new(encoding));
                State::Request { id, decoder, refusal: None, deadline, taken: 0, made: Vec::new() }
            }
            (_, _) => {
                let (text, language) = (self.spoken.clone(), language.unwrap_or("en-US").to_owned());
                let rate = call.rate().min(Job::WIDEST);
                State::Job { id: out.job(Job::Speak { text, language, rate }), deadline }
            }
        };
    }

    fn handle(&mut self, part: Part, larynx: &mut Larynx<'_>, now: Instant) -> Result<(), Fault> {
        let State::Request { decoder, refusal, deadline, taken, made, .. } = &mut self.state else { return Ok(()) };
        *deadline = now + SILENCE;
        match part {
            Part::Head { status: 200..=299, .. } => {}
            Part::Head { status, .. } => *refusal = Some((status, Vec::new())),
            Part::Chunk(bytes) => match refusal {
                Some((_, body)) => {
                    let room = LONGEST_REFUSAL.saturating_sub(body.len());
                    body.extend(bytes.into_iter().take(room));
                }
                None => {
                    *taken = taken.saturating_add(bytes.len());
                    if *taken > LONGEST_PIECE {
                        return self.give_up(fault::broken(WHO, "endless speech"));
                    }
                    match decoder.push(&bytes) {
                        Ok(audio) => made.extend(audio),
                        Err(why) => return self.give_up(fault::broken(WHO, why)),
                    }
                }
            },
            Part::End => match refusal.take() {
                None if *taken == 0 => return self.give_up(fault::broken(WHO, "no speech")),
                None => self.state = State::Made(std::mem::take(made)),
                // Servers of Piper before 1.5 have the method elsewhere.
                Some((404 | 405, _)) if is_piper(larynx) && *larynx.piper == PiperPath::Synthesize => {
                    *larynx.piper = PiperPath::Root;
                    self.state = State::Waiting;
                }
                Some((status, body)) => {
                    let key = key(&larynx.config.voice);
                    return self.give_up(fault::refused(WHO, key, status, &body));
                }
            },
            Part::Failed(why) => return self.give_up(fault::broken(WHO, &why)),
        }
        Ok(())
    }

    /// A piece of which nothing was heard is asked for once more if that may help.
    fn give_up(&mut self, fault: Fault) -> Result<(), Fault> {
        let made = match &mut self.state {
            State::Request { made, .. } => std::mem::take(made),
            State::Waiting | State::Job { .. } | State::Made(_) => Vec::new(),
        };
        if fault.transient && !self.begun && made.is_empty() && !self.asked_before {
            (self.state, self.asked_before) = (State::Waiting, true);
            return Ok(());
        }
        self.state = State::Made(made);
        Err(fault)
    }
}

const fn is_piper(larynx: &Larynx<'_>) -> bool {
    matches!(larynx.config.voice, Voice::Piper { .. })
}

fn key(voice: &Voice) -> Option<&str> {
    match voice {
        Voice::Speech { at, .. } | Voice::Aura { at, .. } | Voice::ElevenLabs { at, .. } | Voice::Piper { at, .. } => {
            at.api_key.as_deref()
        }
        Voice::Engine => None,
    }
}
