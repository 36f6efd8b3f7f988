//! A call as it happens, in the terminal: who speaks, what was said, who interrupted, and how long replies took.
use crate::{call, phone, record::Conversation};
use indicatif::{ProgressBar, ProgressStyle};
use media::UtteranceId;
use std::{
    collections::BTreeMap,
    io::{IsTerminal, Write},
    time::{Duration, Instant},
};

/// Lines for a log; on a terminal also colours and a bar.
#[derive(Debug)]
pub struct LiveView {
    bar: Option<ProgressBar>,
    began: Instant,
    /// Words of the assistant not shown yet.
    words: BTreeMap<UtteranceId, String>,
}

const CALLER: &str = "36";
const ASSISTANT: &str = "32";
const NOTE: &str = "33";
const PLAIN: &str = "2";

impl LiveView {
    /// A view of a call in which the caller says so many things.
    #[expect(clippy::disallowed_methods, reason = "a person watches the clock on the wall")]
    pub fn new(clips: usize) -> Self {
        let bar = std::io::stdout().is_terminal().then(|| {
            let bar = ProgressBar::new(clips as u64);
            let template = "{spinner} {elapsed_precise} caller {bar:20.cyan/blue} {pos}/{len}  {msg}";
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar
        });
        Self { bar, began: Instant::now(), words: BTreeMap::new() }
    }

    /// Wakes several times a second, so that the clock of the bar moves.
    #[expect(clippy::disallowed_methods, reason = "a person watches the clock on the wall")]
    pub async fn tick(&self) {
        tokio::time::sleep(Duration::from_millis(120)).await;
        if let Some(bar) = &self.bar {
            bar.tick();
        }
    }

    /// A plain line.
    pub fn say(&self, line: &str) {
        self.line(PLAIN, line);
    }

    /// What the server sees. Returns the record with the last event.
    pub fn server(&mut self, event: call::Event) -> Option<Conversation> {
        use call::Event as E;
        match event {
            E::Answered => self.line(NOTE, "── answered"),
            E::CallerText(text) => self.line(CALLER, &format!("caller     {text}")),
            E::Dtmf(digit) => self.line(CALLER, &format!("caller     [{digit}]")),
            E::AssistantSpeaks { latency: Some(latency), .. } => {
                self.line(PLAIN, &format!("           reply after {} ms", latency.as_millis()));
            }
            E::AssistantText { utterance, delta } => self.words.entry(utterance).or_default().push_str(&delta),
            E::PlayedOut(heard) => self.assistant(heard.utterance, ""),
            E::BargeIn(heard) => {
                let note = format!("  ⟵ cut off after {:.1} s", heard.played.as_secs_f64());
                self.assistant(heard.utterance, &note);
            }
            E::TransferStarted { destination } => self.line(NOTE, &format!("── transfer to {destination}")),
            E::TransferFailed { destination, reason } => {
                self.line(NOTE, &format!("── transfer to {destination} failed: {reason}"));
            }
            E::Hold(hold) => self.line(NOTE, &format!("── {hold:?}")),
            E::Changed(change) => {
                let note = format!("── {} goes on after {} ms: {}", change.to, change.gap.as_millis(), change.why);
                self.line(NOTE, &note);
            }
            E::Recording(order) => self.line(NOTE, &format!("── recording: {order:?}")),
            E::ListenedTo { who, begins } => {
                self.line(NOTE, &format!("── {who} {}", if begins { "listens" } else { "listens no more" }));
            }
            E::Warning(text) => self.line(NOTE, &format!("── {text}")),
            E::Ended(record) => {
                self.line(NOTE, &format!("── {}: {}", record.outcome.as_str(), record.end_reason));
                return Some(*record);
            }
            E::Connect(_)
            | E::Prepare(_)
            | E::Reconnect(_)
            | E::Disconnect
            | E::Receipt(_)
            | E::CallerSpeaks
            | E::Measured(_)
            | E::Provider { .. }
            | E::AssistantSpeaks { latency: None, .. } => {}
        }
        None
    }

    /// What the phone sees.
    pub fn phone(&mut self, event: phone::Event) {
        let Some(bar) = &self.bar else { return };
        match event {
            phone::Event::Ringing => bar.set_message("ringing"),
            phone::Event::Answered | phone::Event::FarSilent | phone::Event::ClipEnds(_) => bar.set_message("…"),
            phone::Event::ClipStarts(n) => {
                bar.set_position(n as u64 + 1);
                bar.set_message("the caller speaks");
            }
            phone::Event::FarSpeaks => bar.set_message("the secretary speaks"),
            phone::Event::Over => bar.set_message("hung up"),
        }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn assistant(&mut self, utterance: UtteranceId, note: &str) {
        if let Some(words) = self.words.remove(&utterance) {
            self.line(ASSISTANT, &format!("secretary  {words}{note}"));
        }
    }

    fn line(&self, colour: &str, text: &str) {
        let at = self.began.elapsed().as_secs_f64();
        match &self.bar {
            Some(bar) => bar.println(format!("\x1b[2m{at:6.1}\x1b[0m \x1b[{colour}m{text}\x1b[0m")),
            // A closed pipe does not end the call.
            None => drop(writeln!(std::io::stdout(), "{at:6.1} {text}")),
        }
    }
}
