//! Emphasis in a terminal, or none where there is no terminal.

/// How to emphasise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paint {
    /// Not at all.
    Plain,
    /// By escape sequences.
    Ansi,
}

impl Paint {
    /// Wraps text in an SGR sequence (ECMA-48 §8.3.117).
    pub fn on(self, code: &str, text: &str) -> String {
        match self {
            Self::Plain => text.to_owned(),
            Self::Ansi => format!("\x1b[{code}m{text}\x1b[0m"),
        }
    }
}

/// What others said or sent must not drive the terminal.
pub fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
