//! Caller audio on its way to a listening socket. What the service has not confirmed is kept, so that a connection that
//! breaks loses no word.
use media::{Audio, AudioFormat};
use std::{collections::VecDeque, time::Duration};

/// The longest piece in one message.
const LONGEST: Duration = Duration::from_secs(1);
/// The most that is kept for a new connection; beyond it the oldest goes.
const KEPT: Duration = Duration::from_secs(20);

/// Bytes of one connection, and those the next would have to hear.
#[derive(Debug)]
pub(super) struct Uplink {
    format: AudioFormat,
    kept: VecDeque<u8>,
    /// Of `kept`, sent on this connection.
    sent: usize,
    /// Before `kept`, on this connection.
    gone: usize,
    batch: usize,
    open: bool,
    /// The service is to say what it has, when it has all.
    finalize: bool,
}

impl Uplink {
    /// Messages of at least this length.
    pub(super) fn new(format: AudioFormat, batch: Duration) -> Self {
        let mut uplink =
            Self { format, kept: VecDeque::new(), sent: 0, gone: 0, batch: 1, open: false, finalize: false };
        uplink.batch = uplink.bytes(batch).max(1);
        uplink
    }

    /// A connection that has heard nothing.
    pub(super) fn open(&mut self) {
        (self.open, self.sent, self.gone) = (true, 0, 0);
    }

    /// No connection.
    pub(super) fn hold(&mut self) {
        self.open = false;
    }

    /// The caller's next audio; false if it is in a format nobody asked for.
    pub(super) fn push(&mut self, audio: &Audio) -> bool {
        match (audio, self.format) {
            (Audio::G711 { law, bytes }, AudioFormat::G711(own)) if *law == own => self.kept.extend(bytes),
            (Audio::Pcm(frame), AudioFormat::Pcm(rate)) if frame.rate == rate => {
                self.kept.extend(frame.samples.iter().flat_map(|sample| sample.to_le_bytes()));
            }
            (Audio::G711 { .. } | Audio::Pcm(_), _) => return false,
        }
        let surplus = self.kept.len().saturating_sub(self.bytes(KEPT));
        self.drop_oldest(surplus);
        true
    }

    /// The service has understood all up to here, counted in seconds since the connection was opened.
    pub(super) fn understood(&mut self, until_s: f64) {
        let until = Duration::try_from_secs_f64(until_s).unwrap_or_default();
        let bytes = self.bytes(until).saturating_sub(self.gone).min(self.sent);
        self.drop_oldest(bytes);
    }

    /// What waits is sent at once, be it ever so little, and then it is asked for the words.
    pub(super) fn finalize(&mut self) {
        self.finalize = true;
    }

    /// Whether to ask for the words of all that was sent, once.
    pub(super) fn take_finalize(&mut self) -> bool {
        self.open && self.sent == self.kept.len() && std::mem::take(&mut self.finalize)
    }

    /// The next message.
    pub(super) fn poll(&mut self) -> Option<Vec<u8>> {
        let waiting = self.kept.len().saturating_sub(self.sent);
        let least = if self.finalize { 1 } else { self.batch };
        if !self.open || waiting < least {
            return None;
        }
        let taken = waiting.min(self.bytes(LONGEST));
        let message = self.kept.iter().skip(self.sent).take(taken).copied().collect();
        self.sent += taken;
        Some(message)
    }

    fn drop_oldest(&mut self, bytes: usize) {
        self.kept.drain(..bytes);
        self.gone += bytes;
        self.sent = self.sent.saturating_sub(bytes);
    }

    /// In whole samples.
    fn bytes(&self, time: Duration) -> usize {
        let samples = self.format.rate().samples_in(time);
        match self.format {
            AudioFormat::G711(_) => samples,
            AudioFormat::Pcm(_) => samples.saturating_mul(2),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use media::Law;

    fn second(byte: u8) -> Audio {
        Audio::G711 { law: Law::Mu, bytes: vec![byte; 8_000] }
    }

    fn sent(uplink: &mut Uplink) -> Vec<u8> {
        std::iter::from_fn(|| uplink.poll()).flatten().collect()
    }

    #[test]
    fn a_new_connection_hears_again_what_the_old_one_did_not_understand() {
        let mut uplink = Uplink::new(AudioFormat::G711(Law::Mu), Duration::from_millis(40));
        assert!(uplink.push(&second(1)));
        assert_eq!(uplink.poll(), None, "no connection yet");
        uplink.open();
        assert_eq!(sent(&mut uplink), [1; 8_000]);
        uplink.understood(0.5);
        uplink.push(&second(2));
        assert_eq!(sent(&mut uplink), [2; 8_000]);
        uplink.hold();
        uplink.push(&second(3));
        uplink.open();
        let again = [vec![1; 4_000], vec![2; 8_000], vec![3; 8_000]].concat();
        assert_eq!(sent(&mut uplink), again);
        uplink.understood(1.0);
        uplink.understood(f64::NAN);
        uplink.open();
        assert_eq!(sent(&mut uplink), again[8_000..]);
    }

    #[test]
    fn what_is_kept_is_bounded_and_of_one_format() {
        let mut uplink = Uplink::new(AudioFormat::G711(Law::Mu), Duration::from_millis(40));
        (0..60).for_each(|n| assert!(uplink.push(&second(n))));
        uplink.open();
        let heard = sent(&mut uplink);
        assert_eq!((heard.len(), heard[0]), (160_000, 40));
        assert!(!uplink.push(&Audio::G711 { law: Law::A, bytes: vec![0] }));
    }
}
