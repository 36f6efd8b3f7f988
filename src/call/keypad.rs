//! From keys to what they mean: an option of the menu, or an entry for the assistant. `#` ends an entry, and so does
//! the pause behind its last key.
use crate::secretary::{KeyAction, Keys};
use providers::KeysTaken;
use std::time::Instant;

/// What has been typed and what it may become.
#[derive(Debug)]
pub(super) struct Keypad {
    keys: Keys,
    listener: Listener,
    typed: String,
    /// When what was typed is complete; `None` with nothing typed.
    complete: Option<Instant>,
    /// What is being typed is nobody's to read.
    hidden: bool,
}

/// Whose keys they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Listener {
    /// The menu's; what is no option of it goes to the assistant.
    Menu,
    /// The assistant's alone, as the caller chose.
    Assistant,
}

/// What a key made of those before it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Typed {
    /// More may follow.
    Unfinished,
    /// An option of the menu.
    Chosen(String, KeyAction),
    /// Something for the assistant.
    Entry(String),
}

/// How what was typed stands to the options.
enum Match {
    /// It is one, and none begins with it.
    Only(KeyAction),
    /// One begins with it; it may be one already.
    Begins(Option<KeyAction>),
    /// Neither.
    Nothing,
}

impl Keypad {
    pub(super) fn new(keys: Keys) -> Self {
        Self { keys, listener: Listener::Menu, typed: String::new(), complete: None, hidden: false }
    }

    pub(super) const fn keys(&self) -> &Keys {
        &self.keys
    }

    /// A key was pressed, of an assistant that takes keys in this way.
    pub(super) fn press(&mut self, key: char, taken: KeysTaken, now: Instant) -> Typed {
        self.typed.push(key);
        self.complete = Some(now + self.keys.gap);
        match self.compare(&self.typed) {
            Match::Only(action) => return Typed::Chosen(self.take(), action),
            Match::Begins(_) => return Typed::Unfinished,
            Match::Nothing => {}
        }
        if taken == KeysTaken::OneByOne || self.typed.len() >= self.keys.longest {
            return Typed::Entry(self.take());
        }
        if key != '#' {
            return Typed::Unfinished;
        }
        let typed = self.take();
        let before = typed.strip_suffix('#').unwrap_or_default();
        match self.compare(before) {
            Match::Only(action) | Match::Begins(Some(action)) => Typed::Chosen(before.to_owned(), action),
            Match::Begins(None) | Match::Nothing => Typed::Entry(typed),
        }
    }

    /// What was typed, if no more comes.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Typed {
        if self.complete.is_none_or(|at| now < at) {
            return Typed::Unfinished;
        }
        let typed = self.take();
        match self.compare(&typed) {
            Match::Only(action) | Match::Begins(Some(action)) => Typed::Chosen(typed, action),
            Match::Begins(None) | Match::Nothing => Typed::Entry(typed),
        }
    }

    pub(super) const fn deadline(&self) -> Option<Instant> {
        self.complete
    }

    /// The caller could press nothing until now: what was typed has its whole time again.
    pub(super) fn wait_anew(&mut self, now: Instant) {
        if let Some(complete) = &mut self.complete {
            *complete = now + self.keys.gap;
        }
    }

    /// The caller chose to type to the assistant.
    pub(super) fn listen_as_assistant(&mut self) {
        self.listener = Listener::Assistant;
    }

    /// There is no assistant to type to.
    pub(super) fn listen_as_menu(&mut self) {
        self.listener = Listener::Menu;
    }

    /// What is being typed is not recorded, so nobody may read it either.
    pub(super) const fn hide(&mut self) {
        self.hidden = true;
    }

    /// What was typed, for the record: stars where nobody may read it.
    pub(super) fn shown(&mut self, typed: &str) -> String {
        let hidden = std::mem::take(&mut self.hidden);
        if hidden || self.keys.masked { "*".repeat(typed.len()) } else { typed.to_owned() }
    }

    fn take(&mut self) -> String {
        self.complete = None;
        std::mem::take(&mut self.typed)
    }

    fn compare(&self, typed: &str) -> Match {
        if self.listener == Listener::Assistant || typed.is_empty() {
            return Match::Nothing;
        }
        let options = &self.keys.options;
        let exact = options.iter().find(|option| option.keys == typed).map(|option| option.action.clone());
        let begins = options.iter().any(|option| option.keys.len() > typed.len() && option.keys.starts_with(typed));
        match (exact, begins) {
            (exact, true) => Match::Begins(exact),
            (Some(action), false) => Match::Only(action),
            (None, false) => Match::Nothing,
        }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test needs one origin of time")]
mod tests {
    use super::*;
    use crate::secretary::KeyOption;
    use std::time::Duration;

    fn keypad() -> Keypad {
        let option = |keys: &str, action| KeyOption { keys: keys.into(), action };
        let options = vec![
            option("1", KeyAction::HangUp),
            option("2", KeyAction::Repeat),
            option("22", KeyAction::Assistant),
            option("*5", KeyAction::Say("x".into())),
        ];
        Keypad::new(Keys { options, longest: 6, ..Keys::default() })
    }

    /// Types keys, `.` being a pause of 3 s; what came of it.
    fn typed(keypad: &mut Keypad, keys: &str, taken: KeysTaken) -> Vec<String> {
        let mut now = Instant::now();
        let mut told = Vec::new();
        for key in keys.chars() {
            now += Duration::from_millis(200);
            let typed = match key {
                '.' => {
                    now += Duration::from_secs(3);
                    keypad.handle_timeout(now)
                }
                key => keypad.press(key, taken, now),
            };
            match typed {
                Typed::Unfinished => {}
                Typed::Chosen(keys, action) => told.push(format!("{keys} {action:?}")),
                Typed::Entry(keys) => told.push(keys),
            }
        }
        told
    }

    #[test]
    fn keys_are_options_or_entries() {
        for (keys, expected) in [
            ("1", &["1 HangUp"][..]),
            ("2", &[]),
            ("2.", &["2 Repeat"]),
            ("2#", &["2 Repeat"]),
            ("22", &["22 Assistant"]),
            ("25#", &["25#"]),
            ("*5", &["*5 Say(\"x\")"]),
            ("*.", &["*"]),
            ("345.", &["345"]),
            ("345#1", &["345#", "1 HangUp"]),
            ("#", &["#"]),
            ("345345345.", &["345345", "345"]),
            (".", &[]),
        ] {
            assert_eq!(typed(&mut keypad(), keys, KeysTaken::AsEntry), expected, "{keys}");
        }
    }

    #[test]
    fn an_assistant_with_a_menu_of_its_own_gets_each_key_that_is_no_option() {
        assert_eq!(typed(&mut keypad(), "34122", KeysTaken::OneByOne), ["3", "4", "1 HangUp", "22 Assistant"]);
    }

    #[test]
    fn keys_that_the_assistant_listens_to_are_no_options_until_it_is_gone() {
        let mut keypad = keypad();
        keypad.listen_as_assistant();
        assert_eq!(typed(&mut keypad, "122#", KeysTaken::AsEntry), ["122#"]);
        keypad.listen_as_menu();
        assert_eq!(typed(&mut keypad, "1", KeysTaken::AsEntry), ["1 HangUp"]);
    }

    #[test]
    fn what_is_masked_shows_only_how_many_keys() {
        let keys = Keys { masked: true, ..Keys::default() };
        assert_eq!(Keypad::new(keys).shown("1234#"), "*****");
        let mut keypad = keypad();
        assert_eq!(keypad.shown("1234#"), "1234#");
        keypad.hide();
        assert_eq!([keypad.shown("12"), keypad.shown("12")], ["**", "12"], "only what was typed then");
    }
}
