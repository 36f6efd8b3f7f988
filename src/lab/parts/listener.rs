//! One listening socket of Deepgram, without a socket and without a clock: nova ends utterances by silence, Flux turns.
use super::{
    answer::{House, Part},
    script::PartFault,
};
use crate::lab::{
    agenda::{Agenda, Due},
    hearing::{Detection, Hearing, Noticed},
    server::Departure,
};
use media::{Law, codec::g711};
use serde_json::{Value, json};
use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

/// A pause within one turn: what is said after a longer one is the next entry of the script.
const WITHIN_TURN_MS: u64 = 700;
/// Without audio for so long nova closes.
const PATIENCE: Duration = Duration::from_secs(10);

/// Which of the two it is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Nova { endpointing_ms: u64, utterance_end_ms: Option<u64>, interim: bool },
    Flux { eager: bool },
}

/// How audio comes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Encoding {
    G711(Law),
    Linear16,
}

#[derive(Clone, Debug)]
enum Task {
    Send(Box<Value>),
    Error,
    Drop,
}

/// A turn in progress.
#[derive(Clone, Debug, Default)]
struct Turn {
    number: usize,
    /// Milliseconds of audio.
    began: u64,
    paused: Option<u64>,
    /// Its words were sent.
    told: bool,
}

/// One connection.
#[derive(Debug)]
pub struct Listener {
    house: Arc<House>,
    kind: Kind,
    encoding: Encoding,
    rate: u32,
    mute: bool,
    open: bool,
    hearing: Hearing,
    turn: Option<Turn>,
    turns: usize,
    sequence: u64,
    audio: Option<Instant>,
    agenda: Agenda<Task>,
    departures: VecDeque<Departure>,
}

impl Listener {
    /// A connection that was asked for by this path and query.
    ///
    /// # Errors
    /// The status that answers the upgrade instead of 101.
    pub fn open(house: &Arc<House>, url: &str, headers: &[(String, String)], now: Instant) -> Result<Self, u16> {
        let fault = house.fault(Part::Stt).cloned().unwrap_or_default();
        if !house.knows(headers) {
            return Err(401);
        }
        if let Some(status) = fault.status {
            return Err(status);
        }
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        let parameter = |wanted: &str| {
            query.split('&').filter_map(|pair| pair.split_once('=')).find(|(name, _)| *name == wanted).map(|(_, v)| v)
        };
        let number = |name: &str| parameter(name).and_then(|value| value.parse::<u64>().ok());
        let model = parameter("model").unwrap_or_default();
        let interim = parameter("interim_results") == Some("true");
        let kind = match path {
            path if path.ends_with("/v1/listen") && model.starts_with("nova") => {
                let utterance_end_ms = number("utterance_end_ms");
                if utterance_end_ms.is_some_and(|ms| ms < 1_000 || !interim) {
                    return Err(400);
                }
                Kind::Nova { endpointing_ms: number("endpointing").unwrap_or(10), utterance_end_ms, interim }
            }
            path if path.ends_with("/v2/listen") && model.starts_with("flux-general-") => {
                Kind::Flux { eager: parameter("eager_eot_threshold").is_some() }
            }
            _ => return Err(400),
        };
        let encoding = match parameter("encoding") {
            Some("mulaw") => Encoding::G711(Law::Mu),
            Some("alaw") => Encoding::G711(Law::A),
            Some("linear16") => Encoding::Linear16,
            _ => return Err(400),
        };
        let rate = number("sample_rate").and_then(|rate| u32::try_from(rate).ok()).ok_or(400_u16)?;
        let mut listener = Self {
            house: Arc::clone(house),
            kind,
            encoding,
            rate,
            mute: fault.mute,
            open: true,
            hearing: Hearing::default(),
            turn: None,
            turns: 0,
            sequence: 0,
            audio: None,
            agenda: Agenda::default(),
            departures: VecDeque::new(),
        };
        listener.schedule(&fault, now);
        if matches!(kind, Kind::Flux { .. }) {
            listener.send(json!({"type": "Connected", "request_id": "lab", "sequence_id": 0}));
        }
        Ok(listener)
    }

    fn schedule(&mut self, fault: &PartFault, now: Instant) {
        for (after, task) in [(fault.drop_after_ms, Task::Drop), (fault.error_after_ms, Task::Error)] {
            if let Some(after) = after {
                self.agenda.schedule(now + Duration::from_millis(after), task);
            }
        }
    }

    fn send(&mut self, message: Value) {
        if self.mute || !self.open {
            return;
        }
        let kind = message["type"].as_str().unwrap_or_default().to_owned();
        self.departures.push_back(Departure::Message { kind, text: message.to_string() });
    }

    fn send_after(&mut self, ms: u64, message: Value, now: Instant) {
        self.agenda.schedule(now + Duration::from_millis(ms), Task::Send(Box::new(message)));
    }

    fn close(&mut self, departure: Departure) {
        if self.open {
            self.open = false;
            self.departures.push_back(departure);
        }
    }

    /// Audio.
    pub fn handle_binary(&mut self, bytes: &[u8], now: Instant) {
        if bytes.is_empty() {
            return self.close(Departure::Close(1000, String::new()));
        }
        self.audio = Some(now);
        let samples = match self.encoding {
            Encoding::G711(law) => g711::decode(law, bytes),
            Encoding::Linear16 => bytes.as_chunks().0.iter().map(|pair| i16::from_le_bytes(*pair)).collect(),
        };
        let script = &self.house.script;
        let silence_ms = match self.kind {
            Kind::Nova { endpointing_ms, .. } => endpointing_ms,
            Kind::Flux { .. } => script.eager_ms,
        };
        let detection = Detection { threshold: 0.5, prefix_ms: 0, silence_ms, create: true, interrupt: true };
        // In pieces, so that a burst is heard as what it is.
        for piece in samples.chunks(usize::try_from(self.rate / 50).unwrap_or(160).max(1)) {
            for noticed in self.hearing.hear(piece, self.rate, Some(detection)) {
                self.noticed(noticed, now);
            }
            self.end_turn_by_silence();
        }
    }

    /// A control message.
    pub fn handle_text(&mut self, text: &str, now: Instant) {
        let message: Value = serde_json::from_str(text).unwrap_or_default();
        match (message["type"].as_str().unwrap_or_default(), self.kind) {
            ("KeepAlive", Kind::Nova { .. }) => self.audio = Some(now),
            ("Finalize", Kind::Nova { .. }) => {
                let text = match self.turn.as_mut().filter(|turn| !turn.told) {
                    Some(turn) => {
                        turn.told = true;
                        let (number, speech) = (turn.number, self.hearing.heard_ms().saturating_sub(turn.began));
                        self.house.script.words(number, Duration::from_millis(speech), self.hearing.pitch_hz())
                    }
                    None => String::new(),
                };
                let results = self.results(&text, true, false, true);
                self.send_after(self.house.script.nova_ms, results, now);
            }
            ("CloseStream", _) => self.close(Departure::Close(1000, String::new())),
            ("Configure" | "ForceEndTurn", Kind::Flux { .. }) => {}
            _ => self.close(Departure::Close(1008, "DATA-0000: the payload cannot be decoded".into())),
        }
    }

    fn noticed(&mut self, noticed: Noticed, now: Instant) {
        let heard = self.hearing.heard_ms();
        match noticed {
            Noticed::Started { audio_start_ms } => self.started(audio_start_ms, heard, now),
            Noticed::Stopped { audio_end_ms, .. } => {
                let Some(turn) = &mut self.turn else { return };
                turn.paused = Some(audio_end_ms);
                let (number, began) = (turn.number, turn.began);
                let first = !std::mem::replace(&mut turn.told, true);
                let speech = Duration::from_millis(audio_end_ms.saturating_sub(began));
                let words = self.house.script.words(number, speech, self.hearing.pitch_hz());
                match self.kind {
                    Kind::Nova { utterance_end_ms, .. } => {
                        let text = if first { words.as_str() } else { "" };
                        let (wait, results) = (self.house.script.nova_ms, self.results(text, true, true, false));
                        self.send_after(wait, results, now);
                        if let Some(wait) = utterance_end_ms {
                            let last_word_end = audio_end_ms as f64 / 1_000.0;
                            let end =
                                json!({"type": "UtteranceEnd", "channel": [0, 1], "last_word_end": last_word_end});
                            self.send_after(wait, end, now);
                        }
                    }
                    Kind::Flux { eager: true } => self.turn_info("EagerEndOfTurn", &words),
                    Kind::Flux { eager: false } => {}
                }
            }
        }
    }

    fn started(&mut self, start_ms: u64, heard: u64, now: Instant) {
        let goes_on = self.turn.as_ref().and_then(|turn| turn.paused).is_some_and(|paused| match self.kind {
            Kind::Nova { .. } => heard.saturating_sub(paused) < WITHIN_TURN_MS,
            Kind::Flux { .. } => true,
        });
        if goes_on {
            let Some(turn) = &mut self.turn else { return };
            turn.paused = None;
            if self.kind == (Kind::Flux { eager: true }) {
                self.turn_info("TurnResumed", "");
            }
            return;
        }
        let number = self.turns;
        self.turns += 1;
        self.turn = Some(Turn { number, began: start_ms, paused: None, told: false });
        let words = self.house.script.words(number, Duration::ZERO, self.hearing.pitch_hz());
        let begun = words.split_inclusive(' ').next().unwrap_or_default().to_owned();
        match self.kind {
            Kind::Nova { interim, .. } => {
                let timestamp = start_ms as f64 / 1_000.0;
                self.send(json!({"type": "SpeechStarted", "channel": [0], "timestamp": timestamp}));
                if interim {
                    let (wait, results) = (self.house.script.nova_ms, self.results(begun.trim(), false, false, false));
                    self.send_after(wait, results, now);
                }
            }
            Kind::Flux { .. } => self.turn_info("StartOfTurn", begun.trim()),
        }
    }

    /// Flux: so much silence is the end.
    fn end_turn_by_silence(&mut self) {
        if matches!(self.kind, Kind::Nova { .. }) {
            return;
        }
        let (heard, script) = (self.hearing.heard_ms(), &self.house.script);
        let Some(turn) = &self.turn else { return };
        let wait = script.end_ms.saturating_sub(script.eager_ms);
        let Some(paused) = turn.paused.filter(|paused| heard.saturating_sub(*paused) >= wait) else { return };
        let words = script.words(
            turn.number,
            Duration::from_millis(paused.saturating_sub(turn.began)),
            self.hearing.pitch_hz(),
        );
        self.turn_info("EndOfTurn", &words);
        self.turn = None;
    }

    fn turn_info(&mut self, event: &str, transcript: &str) {
        self.sequence += 1;
        let index = self.turn.as_ref().map_or(0, |turn| turn.number);
        let (start, end) = (self.turn.as_ref().map_or(0, |turn| turn.began), self.hearing.heard_ms());
        let words = transcript.split_whitespace().map(|word| json!({"word": word, "confidence": 0.98}));
        let words: Vec<Value> = words.collect();
        let confidence = match event {
            "EndOfTurn" => 0.9,
            "EagerEndOfTurn" => 0.5,
            _ => 0.1,
        };
        let mut message = json!({"type": "TurnInfo", "request_id": "lab", "sequence_id": self.sequence, "event": event,
            "turn_index": index, "audio_window_start": start as f64 / 1_000.0, "audio_window_end": end as f64 / 1_000.0,
            "transcript": transcript, "words": words, "end_of_turn_confidence": confidence});
        if event == "EndOfTurn" {
            message["trigger"] = "model".into();
        }
        self.send(message);
    }

    fn results(&self, text: &str, is_final: bool, speech_final: bool, from_finalize: bool) -> Value {
        let began = self.turn.as_ref().map_or(0, |turn| turn.began);
        let (start, length) = (began as f64 / 1_000.0, self.hearing.heard_ms().saturating_sub(began) as f64 / 1_000.0);
        let word = |word: &str| json!({"word": word, "start": start, "end": start, "confidence": 0.98, "punctuated_word": word});
        let words: Vec<Value> = text.split_whitespace().map(word).collect();
        json!({"type": "Results", "channel_index": [0, 1], "start": start, "duration": length, "is_final": is_final,
            "speech_final": speech_final, "from_finalize": from_finalize,
            "channel": {"alternatives": [{"transcript": text, "confidence": 0.98, "words": words}]},
            "metadata": {"request_id": "lab", "model_uuid": "lab",
                "model_info": {"name": "general-nova-3", "version": "2026-01-01.0", "arch": "nova-3"}}})
    }

    /// Advances time.
    pub fn handle_timeout(&mut self, now: Instant) {
        while self.open {
            match self.agenda.due(self.gone(), now) {
                None => return,
                Some(Due::Beat(_)) => {
                    let why =
                        "NET-0001: Deepgram did not receive audio data or a text message within the timeout window";
                    self.close(Departure::Close(1011, why.into()));
                }
                Some(Due::Task(_, Task::Send(message))) => self.send(*message),
                Some(Due::Task(_, Task::Drop)) => self.close(Departure::Drop),
                Some(Due::Task(_, Task::Error)) => {
                    let (code, description) = ("INTERNAL_SERVER_ERROR", "The simulator was told to fail");
                    let error = match self.kind {
                        Kind::Nova { .. } => json!({"type": "Error", "variant": code, "description": description}),
                        Kind::Flux { .. } => json!({"type": "Error", "sequence_id": self.sequence + 1, "code": code,
                            "description": description}),
                    };
                    self.send(error);
                    self.close(Departure::Close(1011, code.into()));
                }
            }
        }
    }

    /// When nova takes the client for gone.
    fn gone(&self) -> Option<Instant> {
        matches!(self.kind, Kind::Nova { .. }).then(|| self.audio.map(|at| at + PATIENCE)).flatten()
    }

    /// When `handle_timeout` is next wanted, and why.
    pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        if !self.open {
            return None;
        }
        self.agenda.next().into_iter().chain(self.gone()).min().map(|at| (at, "agenda"))
    }

    /// The next thing to send.
    pub fn poll_departure(&mut self) -> Option<Departure> {
        self.departures.pop_front()
    }
}
