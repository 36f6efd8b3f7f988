//! What is going on, for a person at a terminal; one line for each part otherwise.
use indicatif::{ProgressBar, ProgressStyle};
use std::{
    io::{IsTerminal, stderr},
    time::Duration,
};

/// A spinner with the name of the part, or plain lines.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
}

impl Progress {
    /// A display if standard error is a terminal.
    pub(crate) fn new() -> Self {
        let bar = stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} [{elapsed}]") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        Self { bar }
    }

    /// Another part begins, which takes about so long.
    pub(crate) fn phase(&self, name: &str, takes: Duration) {
        let words = format!("{name}, {} s", takes.as_secs().max(1));
        match &self.bar {
            Some(bar) => {
                bar.reset_elapsed();
                bar.set_message(words);
            }
            None => eprintln!("{words}"),
        }
    }

    /// Nothing goes on any more.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
