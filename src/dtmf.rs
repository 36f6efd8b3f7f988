//! How keys pass between us and the other side of a call: which way ours go out, and which ways theirs are believed.
//! The bodies of SIP INFO that carry them.
use media::dtmf::Told;
use sip::{Command, LegId};
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// The content type that FreeSWITCH sends, and every phone system takes.
const RELAY: &str = "application/dtmf-relay";
/// How long a key is said to have been held.
const HELD_MS: u16 = 100;
/// Within this the tone is over of whoever takes the INFO, which may have to be sent twice (RFC 3261 §17.1.2.2).
pub const SOUNDS_WITHIN: Duration = Duration::from_millis(500 + HELD_MS as u64);
/// From one INFO to the next: a key and the pause behind it. Closer together they might overtake each other.
const DISTANCE: Duration = Duration::from_millis(200);
/// The most keys that wait: as many as wait to be sent as events.
const MAX_WAITING: usize = 64;

/// What is said of a phone system's keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dtmf {
    /// Ours are telephone-events if these were agreed on, else INFO; theirs may come by either, or both.
    #[default]
    Auto,
    /// Telephone-events (RFC 4733) only.
    Rfc4733,
    /// SIP INFO only.
    Info,
    /// Tones in the audio only.
    Inband,
}

impl Dtmf {
    /// The one way in which the other side's keys are believed, if there is but one.
    pub const fn believed(self) -> Option<Told> {
        match self {
            Self::Auto => None,
            Self::Rfc4733 => Some(Told::Event),
            Self::Info => Some(Told::Info),
            Self::Inband => Some(Told::Tone),
        }
    }

    /// The way of our keys in a call that has telephone-events or not; `None` if the only one is not to be had.
    pub const fn way_out(self, events: bool) -> Option<Told> {
        match (self, events) {
            (Self::Auto | Self::Rfc4733, true) => Some(Told::Event),
            (Self::Rfc4733, false) => None,
            (Self::Auto, false) | (Self::Info, _) => Some(Told::Info),
            (Self::Inband, _) => Some(Told::Tone),
        }
    }
}

/// Keys on their way out by INFO, one after another. Overflow policy: keys that do not all fit are refused together, since a
/// number cut short is another number.
#[derive(Debug, Default)]
pub struct Relay {
    waiting: VecDeque<char>,
    /// When the last one has been gone for long enough.
    free_at: Option<Instant>,
}

impl Relay {
    /// Puts keys behind those that wait; take the first with [`Self::poll`]. False if there is no room for all of them: then
    /// none goes out.
    pub fn press(&mut self, keys: &str) -> bool {
        let keys = keys.chars().filter(|key| media::dtmf::code(*key).is_some());
        let fits = keys.clone().count() <= MAX_WAITING.saturating_sub(self.waiting.len());
        if fits {
            self.waiting.extend(keys);
        }
        fits
    }

    /// The key that is due, and its INFO.
    pub fn poll(&mut self, leg: LegId, now: Instant) -> Option<(char, Command)> {
        if self.free_at.is_some_and(|at| now < at) {
            return None;
        }
        self.free_at = None;
        let key = self.waiting.pop_front()?.to_ascii_uppercase();
        self.free_at = Some(now + DISTANCE);
        let body = format!("Signal={key}\r\nDuration={HELD_MS}\r\n").as_str().into();
        Some((key, Command::Info { leg, content_type: RELAY.to_owned(), body }))
    }

    /// Whether keys wait, or the last of them has been gone for less than it takes to press it, as far as
    /// [`Self::poll`] has found out.
    pub fn is_pressing(&self) -> bool {
        self.free_at.is_some() || !self.waiting.is_empty()
    }

    /// When the next one is due.
    pub fn deadline(&self) -> Option<(Instant, &'static str)> {
        let at = self.free_at.filter(|_| !self.waiting.is_empty())?;
        Some((at, "next key by INFO"))
    }
}

/// The key in an INFO body: `application/dtmf-relay` (`Signal=5`) or `application/dtmf` (`5`).
pub fn of_info(content_type: &str, body: &[u8]) -> Option<char> {
    let body = std::str::from_utf8(body).ok()?;
    let signal = match content_type {
        "application/dtmf" => body.trim(),
        RELAY => body.lines().find_map(|line| {
            let (key, value) = line.split_once('=')?;
            key.trim().eq_ignore_ascii_case("signal").then_some(value.trim())
        })?,
        _ => return None,
    };
    let mut characters = signal.chars();
    match (characters.next(), characters.next()) {
        (Some(key), None) => Some(key.to_ascii_uppercase()).filter(|key| media::dtmf::code(*key).is_some()),
        // Some send the code of the event (RFC 4733 §3.2): 11 is a `#`, and 16, a flash, is no key.
        _ => media::dtmf::digit(signal.parse().ok()?),
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test needs one origin of time")]
mod tests {
    use super::*;

    #[test]
    fn keys_by_info_go_out_one_after_another_and_are_read_as_they_were_pressed() {
        let (mut relay, mut now, leg) = (Relay::default(), Instant::now(), LegId(1));
        assert!(relay.press("1x*#d"));
        let mut sent = Vec::new();
        let begin = now;
        while let Some((key, command)) = relay.poll(leg, now) {
            let Command::Info { content_type, body, .. } = command else { panic!("{command:?}") };
            assert_eq!(of_info(&content_type, &body), Some(key));
            sent.push((now - begin, key));
            assert_eq!(relay.poll(leg, now), None, "not at once");
            let Some((at, _)) = relay.deadline() else { break };
            now = at;
        }
        assert!(relay.is_pressing(), "the last key takes as long as the others");
        assert_eq!((relay.poll(leg, now + DISTANCE), relay.is_pressing()), (None, false));
        let expected = ['1', '*', '#', 'D'];
        assert_eq!(sent, (0..).map(|n| DISTANCE * n).zip(expected).collect::<Vec<_>>());
        assert!(!relay.press(&"5".repeat(MAX_WAITING + 1)) && relay.waiting.is_empty());
        assert!(relay.press(&"5".repeat(MAX_WAITING)) && !relay.press("6"));
    }

    #[test]
    fn a_signal_is_a_key_or_the_code_of_its_event_and_never_the_first_figure_of_another() {
        let table = [
            ("5", Some('5')),
            ("d", Some('D')),
            ("*", Some('*')),
            ("10", Some('*')),
            ("11", Some('#')),
            ("12", Some('A')),
            ("15", Some('D')),
            ("16", None),
            ("123", None),
            ("256", None),
            ("1x", None),
            ("x", None),
            ("", None),
        ];
        for (signal, key) in table {
            let relay = format!("Signal={signal}\r\nDuration=160\r\n");
            assert_eq!(of_info(RELAY, relay.as_bytes()), key, "{signal:?}");
            assert_eq!(of_info("application/dtmf", signal.as_bytes()), key, "{signal:?}");
        }
    }

    #[test]
    fn each_way_is_the_only_one_but_for_auto() {
        use Dtmf::{Auto, Inband, Info, Rfc4733};
        let table =
            [Auto, Rfc4733, Info, Inband].map(|dtmf| (dtmf.way_out(true), dtmf.way_out(false), dtmf.believed()));
        let (event, info, tone) = (Some(Told::Event), Some(Told::Info), Some(Told::Tone));
        assert_eq!(table, [(event, info, None), (event, None, event), (info, info, info), (tone, tone, tone)]);
    }
}
