//! What waits to be sent over a WebSocket: set-up first, then control, then caller audio; nothing but set-up before the
//! session is ready.
use std::collections::VecDeque;

/// Shortest batch, bytes: a batch of nothing would never be full.
const SHORTEST_BATCH: usize = 1;

/// Control messages that may wait: a provider that takes nothing is gone long before. Beyond it the oldest is dropped.
const MOST_CONTROL: usize = 1_024;

/// Bounded in audio by bytes, in control by messages.
#[derive(Debug)]
pub(crate) struct Outbox {
    /// Makes a message of audio.
    append: fn(&[u8]) -> String,
    setup: VecDeque<String>,
    control: VecDeque<String>,
    audio: Vec<u8>,
    open: bool,
    batch: usize,
    limit: usize,
    longest: usize,
    trimmed: u64,
}

impl Outbox {
    /// The least audio in one message, the most that waits, and the most in one message: bytes, in whole samples.
    /// `append` makes a message of audio.
    pub(crate) fn new([batch, limit, longest]: [usize; 3], append: fn(&[u8]) -> String) -> Self {
        let batch = batch.max(SHORTEST_BATCH);
        let (setup, control) = (VecDeque::new(), VecDeque::new());
        Self {
            append,
            setup,
            control,
            audio: Vec::new(),
            open: false,
            batch,
            limit: limit.max(batch),
            longest: longest.max(batch),
            trimmed: 0,
        }
    }

    /// Audio is of another format from here on: what waits of it is of no use, all else is.
    pub(crate) fn resize(&mut self, limits: [usize; 3]) {
        let Self { setup, control, open, trimmed, .. } = std::mem::replace(self, Self::new(limits, self.append));
        (self.setup, self.control, self.open, self.trimmed) = (setup, control, open, trimmed);
    }

    /// The session is ready: everything may go.
    pub(crate) fn open(&mut self) {
        self.open = true;
    }

    /// The session is gone, and another will come: what waits goes to that one.
    pub(crate) fn hold(&mut self) {
        self.open = false;
        self.setup.clear();
    }

    /// The next session is to hear the last of the caller again: what waits is the end of it, or is longer.
    pub(crate) fn rewind(&mut self, recent: &[u8]) {
        if recent.len() > self.audio.len() {
            recent.clone_into(&mut self.audio);
        }
    }

    /// Caller audio that waits is of no use: it will be given again.
    pub(crate) fn drop_audio(&mut self) {
        self.audio.clear();
    }

    /// The conversation is over: nothing will go.
    pub(crate) fn clear(&mut self) {
        self.open = false;
        self.setup.clear();
        self.control.clear();
        self.audio = Vec::new();
    }

    /// A message that goes before the session is ready.
    pub(crate) fn push_setup(&mut self, message: String) {
        self.setup.push_back(message);
    }

    /// A message that waits for the session.
    pub(crate) fn push_control(&mut self, message: String) {
        if self.control.len() >= MOST_CONTROL {
            self.control.pop_front();
        }
        self.control.push_back(message);
    }

    /// Control messages that wait and are not worth keeping.
    pub(crate) fn drop_control(&mut self, is_useless: impl Fn(&str) -> bool) {
        self.control.retain(|message| !is_useless(message));
    }

    /// Caller audio. Beyond the limit the oldest is dropped; true when that happened.
    pub(crate) fn push_audio(&mut self, bytes: &[u8]) -> bool {
        self.audio.extend_from_slice(bytes);
        let excess = self.audio.len().saturating_sub(self.limit);
        self.audio.drain(..excess);
        self.trimmed = self.trimmed.saturating_add(excess as u64);
        excess > 0
    }

    /// Bytes of audio dropped so far.
    pub(crate) fn trimmed(&self) -> u64 {
        self.trimmed
    }

    /// The next message.
    pub(crate) fn poll(&mut self) -> Option<String> {
        if let Some(message) = self.setup.pop_front() {
            return Some(message);
        }
        if !self.open {
            return None;
        }
        if let Some(message) = self.control.pop_front() {
            return Some(message);
        }
        if self.audio.len() < self.batch {
            return None;
        }
        let taken = self.audio.len().min(self.longest);
        let append = self.audio.get(..taken).map(self.append);
        self.audio.drain(..taken);
        append
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outbox(batch: usize, limit: usize) -> Outbox {
        Outbox::new([batch, limit, 8_000], |bytes| bytes.iter().map(|byte| char::from(*byte)).collect())
    }

    fn audio_in(message: &str) -> Vec<u8> {
        message.chars().map(|c| u8::try_from(c).unwrap()).collect()
    }

    #[test]
    fn nothing_but_setup_leaves_before_the_session_is_ready_then_control_before_audio() {
        let mut outbox = outbox(160, 8_000);
        outbox.push_audio(&[1; 160]);
        outbox.push_control("control".into());
        outbox.push_setup("setup".into());
        assert_eq!(outbox.poll().as_deref(), Some("setup"));
        assert_eq!(outbox.poll(), None);
        outbox.open();
        assert_eq!(outbox.poll().as_deref(), Some("control"));
        assert_eq!(audio_in(&outbox.poll().unwrap()), [1; 160]);
        assert_eq!(outbox.poll(), None);
    }

    #[test]
    fn the_oldest_audio_is_trimmed_and_counted() {
        let mut outbox = outbox(160, 320);
        assert!(!outbox.push_audio(&[1; 160]));
        assert!(!outbox.push_audio(&[2; 160]));
        assert!(outbox.push_audio(&[3; 160]));
        assert_eq!(outbox.trimmed(), 160);
        outbox.open();
        assert_eq!(audio_in(&outbox.poll().unwrap()), [[2; 160], [3; 160]].concat());
    }

    #[test]
    fn a_batch_is_sent_when_full_and_a_backlog_in_pieces_of_a_second() {
        let mut outbox = outbox(320, 40_000);
        outbox.open();
        outbox.push_audio(&[0; 160]);
        assert_eq!(outbox.poll(), None);
        outbox.push_audio(&[0; 160]);
        assert_eq!(audio_in(&outbox.poll().unwrap()).len(), 320);
        outbox.push_audio(&[0; 20_000]);
        let sizes: Vec<_> = std::iter::from_fn(|| outbox.poll()).map(|m| audio_in(&m).len()).collect();
        assert_eq!(sizes, [8_000, 8_000, 4_000]);
    }

    #[test]
    fn what_was_meant_for_a_session_that_is_gone_goes_to_the_next_but_for_its_setup() {
        let mut outbox = outbox(160, 8_000);
        outbox.open();
        outbox.push_setup("the old setup".into());
        outbox.hold();
        outbox.push_control("control".into());
        outbox.push_audio(&[1; 160]);
        assert_eq!(outbox.poll(), None);
        outbox.push_setup("setup".into());
        assert_eq!(outbox.poll().as_deref(), Some("setup"));
        outbox.open();
        assert_eq!(outbox.poll().as_deref(), Some("control"));
        assert_eq!(audio_in(&outbox.poll().unwrap()), [1; 160]);
    }

    #[test]
    fn audio_of_another_format_goes_and_all_else_stays() {
        let mut outbox = outbox(2, 3);
        outbox.push_setup("setup".into());
        outbox.push_control("control".into());
        assert!(outbox.push_audio(b"abcd"));
        outbox.resize([1, 8, 8]);
        outbox.open();
        let sent: Vec<String> = std::iter::from_fn(|| outbox.poll()).collect();
        assert_eq!((sent.as_slice(), outbox.trimmed()), (["setup".to_owned(), "control".to_owned()].as_slice(), 1));
        outbox.push_audio(b"z");
        assert_eq!(outbox.poll().as_deref(), Some("z"));
    }

    #[test]
    fn of_too_many_control_messages_the_oldest_goes() {
        let mut outbox = outbox(1, 1);
        (0..=MOST_CONTROL).for_each(|n| outbox.push_control(n.to_string()));
        outbox.open();
        assert_eq!(outbox.poll().as_deref(), Some("1"));
    }
}
