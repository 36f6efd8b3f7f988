//! The caller's last words as sound, for the provider that comes after one that did not turn them into text.
//!
//! Overflow policy: at most ten seconds are kept, and the piece in which they begin; beyond it the oldest are dropped, and counted when they were speech.
use media::{Audio, AudioFormat, Frame, SampleRate, Speech, codec::g711, resample::Resampler};
use providers::Unworded;
use std::{collections::VecDeque, time::Duration};

/// The most that is kept.
const LONGEST: Duration = Duration::from_secs(10);
/// Kept while nobody speaks: the beginning of a word is heard before a detector believes it.
const PRE_ROLL: Duration = Duration::from_millis(600);
/// Speech may have begun so long ago without our detector knowing it for speech.
const UNDETECTED: Duration = Duration::from_millis(300);
/// Given out at once, and the piece that completes it: ten times as fast as it was said.
const AT_ONCE: Duration = Duration::from_millis(200);
/// Packets are kept together up to this length: each by itself, half of the memory would be what is around them.
const PIECE: Duration = Duration::from_millis(100);

/// Some of the caller's audio.
#[derive(Debug)]
struct Piece {
    audio: Audio,
    /// The caller was known to speak.
    spoken: bool,
}

/// What a provider may still have to hear.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pieces: VecDeque<Piece>,
    length: Duration,
    /// So much of the end belongs to speech that is no text yet.
    unworded: Option<Duration>,
    /// A turn that wants an answer is in it.
    asked: bool,
    /// So much of the end belongs to the turn that the caller is in.
    turn: Option<Duration>,
    /// Nobody hears the caller: so much of the end is heard by nobody.
    gap: Option<Duration>,
    /// Speech that is no text yet and was not kept.
    lost: Duration,
    /// What of it a provider had in words when it failed: perhaps not all.
    half: Option<String>,
    /// That the caller stopped, which the provider was not told since they were with somebody else.
    withheld: Option<Speech>,
}

impl Kept {
    /// The caller's next piece.
    pub(super) fn hear(&mut self, audio: Audio) {
        let length = self.put(audio);
        self.length += length;
        for part in [&mut self.unworded, &mut self.turn, &mut self.gap].into_iter().flatten() {
            *part += length;
        }
        self.trim();
    }

    /// Returns by how much there is more: the length of a piece is not quite that of its packets, which are rounded.
    fn put(&mut self, audio: Audio) -> Duration {
        let spoken = self.turn.is_some();
        let fits = |piece: &&mut Piece| piece.spoken == spoken && piece.audio.duration() + audio.duration() <= PIECE;
        let mut apart = match self.pieces.back_mut().filter(fits) {
            Some(Piece { audio: piece, .. }) => {
                let before = piece.duration();
                match piece.join(audio) {
                    Ok(()) => return piece.duration() - before,
                    Err(other) => other,
                }
            }
            None => audio,
        };
        let length = apart.duration();
        apart.reserve(PIECE);
        self.pieces.push_back(Piece { audio: apart, spoken });
        length
    }

    /// The caller is known to speak.
    pub(super) fn speech_began(&mut self) {
        let onset = self.length.min(PRE_ROLL);
        self.turn.get_or_insert(onset);
        self.unworded.get_or_insert(onset);
    }

    /// The caller stopped.
    pub(super) fn speech_ended(&mut self) {
        self.turn = None;
    }

    /// Our detector changed its mind about a caller who is with somebody else.
    pub(super) fn withhold(&mut self, speech: Speech) {
        self.withheld = match (speech, self.withheld) {
            // They speak, as the provider has it, or as it is told from here on.
            (Speech::Confirmed, _) => None,
            (Speech::Ended { .. }, _) => Some(speech),
            // A click behind the end of a turn makes that no beginning.
            (_, Some(ended @ Speech::Ended { .. })) => Some(ended),
            (Speech::Refuted | Speech::Yielded, _) => Some(speech),
            (Speech::Suspected | Speech::Insisted, _) => None,
        };
    }

    /// What the provider of a caller who is back was not told.
    pub(super) fn take_withheld(&mut self) -> Option<Speech> {
        self.withheld.take()
    }

    /// What they said wants an answer.
    pub(super) fn asked(&mut self) {
        self.asked = true;
    }

    /// What the caller said is text, but for the turn they are in.
    pub(super) fn worded(&mut self) {
        // Of a turn that is longer than what is kept something is lost still.
        if self.turn.is_none_or(|turn| turn < self.length) {
            self.lost = Duration::ZERO;
        }
        (self.unworded, self.asked) = (self.turn, false);
        self.trim();
    }

    /// A provider that failed had these words of what is kept, perhaps not all.
    pub(super) fn half_worded(&mut self, words: Option<String>) {
        self.half = self.half.take().into_iter().chain(words).reduce(|before, words| format!("{before} {words}"));
    }

    /// Words of speech that cannot be heard again as a whole.
    pub(super) fn take_unheard(&mut self) -> Option<String> {
        self.half.take_if(|_| self.unworded.is_none() || !self.lost.is_zero())
    }

    /// Words of speech that nobody will hear again.
    pub(super) fn take_half(&mut self) -> Option<String> {
        self.half.take()
    }

    /// From here on nobody hears the caller. A word that has just begun was heard by one who makes nothing of it.
    pub(super) fn gap_began(&mut self) {
        self.gap.get_or_insert(self.length.min(UNDETECTED));
        self.withheld = None;
    }

    /// Whether there is speech that is no text.
    pub(super) const fn has_speech(&self) -> bool {
        self.unworded.is_some()
    }

    /// Whether there is, or is to come, what wants an answer: more than a cough.
    pub(super) const fn asks(&self) -> bool {
        self.turn.is_some() || (self.asked && self.unworded.is_some())
    }

    /// Whether the caller is in the middle of it.
    pub(super) const fn in_turn(&self) -> bool {
        self.turn.is_some()
    }

    /// Somebody hears again: what is to be heard first, in that one's format, and how much was lost.
    pub(super) fn replay(&mut self, format: AudioFormat) -> (Replay, Duration) {
        self.half = None;
        let wanted = self.unworded.max(self.gap.take()).unwrap_or_default();
        (self.last(wanted, format), std::mem::take(&mut self.lost))
    }

    /// What a provider that goes on over another connection is to hear again, and what it was to hear besides.
    pub(super) fn again(&self, unworded: Unworded, waiting: &Replay, format: AudioFormat) -> Replay {
        let wanted = match unworded {
            Unworded::All => self.unworded.max(self.turn),
            Unworded::Turn => self.turn,
        };
        self.last(wanted.unwrap_or_default().max(waiting.length()), format)
    }

    /// So much of the end.
    fn last(&self, wanted: Duration, format: AudioFormat) -> Replay {
        let mut before = self.length.saturating_sub(wanted);
        let pieces = self.pieces.iter().filter_map(|piece| {
            let length = piece.audio.duration();
            if before >= length {
                before -= length;
                return None;
            }
            let mut audio = piece.audio.clone();
            audio.behead(std::mem::take(&mut before));
            Some(audio)
        });
        Replay(converted(pieces, format))
    }

    fn trim(&mut self) {
        let needed = self.unworded.max(self.gap).unwrap_or_default();
        let limit = needed.clamp(PRE_ROLL, LONGEST);
        while let Some(first) = self.pieces.front() {
            let (length, spoken) = (first.audio.duration(), first.spoken);
            if self.length - length < limit {
                break;
            }
            self.length -= length;
            self.pieces.pop_front();
            let surplus = self.unworded.and_then(|unworded| unworded.checked_sub(self.length));
            if spoken && let Some(surplus) = surplus {
                self.lost += length.min(surplus);
            }
        }
        for part in [&mut self.unworded, &mut self.turn, &mut self.gap].into_iter().flatten() {
            *part = (*part).min(self.length);
        }
    }
}

/// Audio that is given out faster than it was said; what is said meanwhile waits behind it.
#[derive(Debug, Default)]
pub(super) struct Replay(VecDeque<Audio>);

impl Replay {
    /// Whether the provider has heard all of it.
    pub(super) fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    fn length(&self) -> Duration {
        self.0.iter().map(Audio::duration).sum()
    }

    /// Takes what the caller says at this moment; gives what the provider is to hear.
    pub(super) fn push(&mut self, audio: Audio) -> Vec<Audio> {
        self.0.push_back(audio);
        let (mut given, mut length) = (Vec::new(), Duration::ZERO);
        while length < AT_ONCE {
            let Some(piece) = self.0.pop_front() else { break };
            length += piece.duration();
            given.push(piece);
        }
        given
    }

    /// All of it at once, for one that is told where turns begin and end.
    pub(super) fn whole(self) -> VecDeque<Audio> {
        self.0
    }
}

/// The same pieces in one format. Formats that rubato cannot convert are none that a provider has.
fn converted(pieces: impl Iterator<Item = Audio>, format: AudioFormat) -> VecDeque<Audio> {
    let mut resampler: Option<Resampler> = None;
    let mut all = VecDeque::new();
    for piece in pieces {
        if piece.format() == format {
            all.push_back(piece);
            continue;
        }
        let frame = samples(piece);
        if resampler.as_ref().is_none_or(|known| known.from() != frame.rate) {
            resampler = Resampler::new(frame.rate, format.rate()).ok();
        }
        let Some(resampler) = &mut resampler else { continue };
        let samples = resampler.process(&frame.samples);
        if !samples.is_empty() {
            all.push_back(match format {
                AudioFormat::Pcm(rate) => Audio::Pcm(Frame { rate, samples }),
                AudioFormat::G711(law) => Audio::G711 { law, bytes: g711::encode(law, &samples) },
            });
        }
    }
    all
}

fn samples(audio: Audio) -> Frame {
    match audio {
        Audio::Pcm(frame) => frame,
        Audio::G711 { law, bytes } => Frame { rate: SampleRate::HZ_8000, samples: g711::decode(law, &bytes) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use media::Law;

    const ULAW: AudioFormat = AudioFormat::G711(Law::Mu);

    fn packet(number: u8) -> Audio {
        Audio::G711 { law: Law::Mu, bytes: vec![number; 160] }
    }

    fn hear(kept: &mut Kept, packets: u32) {
        (0..packets).for_each(|number| kept.hear(packet(u8::try_from(number % 251).unwrap())));
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the origin of virtual time")]
    fn who_is_back_is_known_to_have_stopped_unless_they_speak() {
        let ended = Speech::Ended { last_voice: std::time::Instant::now() };
        let withheld = |heard: &[Speech]| {
            let mut kept = Kept::default();
            heard.iter().for_each(|speech| kept.withhold(*speech));
            kept.take_withheld()
        };
        assert_eq!(withheld(&[ended]), Some(ended));
        assert_eq!(withheld(&[ended, Speech::Suspected, Speech::Refuted]), Some(ended));
        assert_eq!(withheld(&[ended, Speech::Suspected, Speech::Confirmed]), None);
        assert_eq!(withheld(&[Speech::Refuted]), Some(Speech::Refuted));
        assert_eq!(withheld(&[Speech::Suspected]), None);
    }

    #[test]
    fn of_silence_only_the_last_is_kept_and_none_of_it_heard_again() {
        let mut kept = Kept::default();
        hear(&mut kept, 500);
        assert_eq!((kept.length, kept.has_speech()), (PRE_ROLL, false));
        let (replay, lost) = kept.replay(ULAW);
        assert_eq!((replay.length(), lost), (ms(0), ms(0)));
    }

    #[test]
    fn a_turn_without_words_is_heard_again_with_what_was_said_to_nobody() {
        let mut kept = Kept::default();
        hear(&mut kept, 100);
        kept.speech_began();
        hear(&mut kept, 100);
        kept.speech_ended();
        kept.gap_began();
        hear(&mut kept, 25);
        let (replay, lost) = kept.replay(ULAW);
        assert_eq!((replay.length(), lost), (PRE_ROLL + ms(2_500), ms(0)));
    }

    #[test]
    fn a_word_that_began_just_before_a_gap_is_heard_again() {
        let mut kept = Kept::default();
        hear(&mut kept, 100);
        kept.gap_began();
        hear(&mut kept, 10);
        let (replay, lost) = kept.replay(ULAW);
        assert_eq!((replay.length(), lost), (UNDETECTED + ms(200), ms(0)));
    }

    #[test]
    fn words_settle_all_but_the_turn_the_caller_is_in() {
        let mut kept = Kept::default();
        kept.speech_began();
        hear(&mut kept, 100);
        kept.speech_ended();
        hear(&mut kept, 50);
        kept.speech_began();
        hear(&mut kept, 10);
        kept.worded();
        assert!(kept.has_speech() && kept.in_turn());
        let (replay, _) = kept.replay(ULAW);
        assert_eq!(replay.length(), PRE_ROLL + ms(200));
        kept.speech_ended();
        kept.worded();
        assert!(!kept.has_speech());
    }

    #[test]
    fn over_another_connection_the_turn_is_heard_from_its_beginning() {
        let mut kept = Kept::default();
        kept.speech_began();
        hear(&mut kept, 50);
        kept.speech_ended();
        hear(&mut kept, 50);
        kept.speech_began();
        hear(&mut kept, 10);
        let (heard, waiting) = (Replay::default(), Replay((0..60).map(packet).collect()));
        assert_eq!(kept.again(Unworded::Turn, &heard, ULAW).length(), PRE_ROLL + ms(200));
        let again = kept.again(Unworded::Turn, &waiting, ULAW);
        assert_eq!(again.length(), ms(1_200), "what had yet to be heard is not forgotten");
        let all = kept.again(Unworded::All, &heard, ULAW);
        assert_eq!(all.length(), ms(2_200), "the turn before it has no words yet");
        let (replay, lost) = kept.replay(ULAW);
        assert_eq!((replay.length(), lost), (ms(2_200), ms(0)), "it is no more text than before");
    }

    #[test]
    fn beyond_ten_seconds_the_oldest_go_and_are_counted() {
        let mut kept = Kept::default();
        kept.gap_began();
        kept.speech_began();
        hear(&mut kept, 600);
        let (replay, lost) = kept.replay(ULAW);
        assert_eq!((replay.length(), lost), (LONGEST, ms(2_000)));
    }

    #[test]
    fn silence_is_no_loss_and_neither_is_what_has_become_text() {
        let mut kept = Kept::default();
        kept.gap_began();
        hear(&mut kept, 600);
        kept.speech_began();
        hear(&mut kept, 100);
        kept.speech_ended();
        assert_eq!(kept.replay(ULAW).1, ms(0), "all but silence is kept");
        hear(&mut kept, 600);
        assert_eq!(kept.lost, ms(2_000), "of the speech, and nothing of the silence after it");
        kept.worded();
        assert_eq!(kept.replay(ULAW).1, ms(0));
    }

    #[test]
    fn half_of_a_turn_in_words_is_no_use_to_whom_hears_all_of_it_again() {
        let half = || Some("When are".to_owned());
        let mut kept = Kept::default();
        kept.half_worded(half());
        assert_eq!(kept.take_unheard(), half(), "our detector heard nothing that could be heard again");
        kept.speech_began();
        hear(&mut kept, 100);
        kept.half_worded(half());
        assert_eq!(kept.take_unheard(), None);
        kept.replay(ULAW);
        assert_eq!(kept.take_half(), None, "it was heard again");
        kept.half_worded(half());
        hear(&mut kept, 500);
        assert_eq!(kept.take_unheard(), half(), "the beginning of it is gone");
        kept.half_worded(half());
        assert_eq!(kept.take_half(), half(), "nobody came");
    }

    #[test]
    fn a_cough_asks_nothing_and_a_turn_does_until_it_is_text() {
        let mut kept = Kept::default();
        kept.speech_began();
        assert!(kept.asks(), "it may become a turn");
        kept.speech_ended();
        assert!(kept.has_speech() && !kept.asks());
        kept.speech_began();
        kept.speech_ended();
        kept.asked();
        assert!(kept.asks());
        kept.worded();
        assert!(!kept.asks());
    }

    #[test]
    fn a_replay_is_ten_times_as_fast_and_keeps_its_order() {
        let mut kept = Kept::default();
        kept.gap_began();
        (0..50).for_each(|number| kept.hear(packet(number)));
        let (mut replay, _) = kept.replay(ULAW);
        let mut heard = Vec::new();
        for number in 50..60 {
            heard.extend(replay.push(packet(number)));
        }
        assert!(replay.is_over());
        let mut heard = heard.into_iter();
        let mut whole = heard.next().unwrap();
        heard.for_each(|piece| whole.join(piece).unwrap());
        let said = (0..60).flat_map(|number| [number; 160]).collect();
        assert_eq!(whole, Audio::G711 { law: Law::Mu, bytes: said });
    }

    #[test]
    fn another_provider_hears_it_in_its_own_format() {
        let mut kept = Kept::default();
        kept.gap_began();
        hear(&mut kept, 50);
        let wide = AudioFormat::Pcm(SampleRate::HZ_24000);
        let (replay, _) = kept.replay(wide);
        let length = replay.length();
        assert!(replay.whole().iter().all(|piece| piece.format() == wide));
        assert!(length.abs_diff(ms(1_000)) < ms(20), "{length:?}");
    }
}
