//! A simulated server's ear: it counts audio, not time, so a client that stops sending never ends its turn.
use super::script::Say;
use std::{borrow::Cow, time::Duration};

/// What is judged at once.
const FRAME: Duration = Duration::from_millis(20);
const FRAME_MS: u64 = 20;
/// Loud frames in a row that are speech.
const ONSET: u32 = 3;

/// `turn_detection` as it was configured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::lab) struct Detection {
    /// 0 to 1.
    pub(in crate::lab) threshold: f64,
    pub(in crate::lab) prefix_ms: u64,
    pub(in crate::lab) silence_ms: u64,
    pub(in crate::lab) create: bool,
    pub(in crate::lab) interrupt: bool,
}

impl Detection {
    /// Frames at or above this are loud: 0.5 is -40 dBFS, 1.0 is -20 dBFS.
    fn level_dbfs(&self) -> f64 {
        40.0 * self.threshold - 60.0
    }
}

/// What was noticed, in milliseconds of audio since the session began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::lab) enum Noticed {
    /// Speech, from here on, with what came just before it.
    Started { audio_start_ms: u64 },
    /// A turn ended here; so much of it was loud or between loud frames.
    Stopped { audio_end_ms: u64, speech_ms: u64 },
}

/// Frames of caller audio, judged one by one.
#[derive(Debug, Default)]
pub(in crate::lab) struct Hearing {
    pending: Vec<i16>,
    /// Of what was heard last, Hz.
    rate: u32,
    heard_ms: u64,
    loud_run: u32,
    quiet_ms: u64,
    speaking_since: Option<u64>,
    /// Since the last commit or clear.
    buffered_ms: u64,
    pitch: Pitch,
}

/// How high the loud frames of a turn are: what is well below zero becomes well positive once a period. What a resampler
/// adds where a tone sets in also passes zero, but is small.
#[derive(Clone, Copy, Debug, Default)]
struct Pitch {
    samples: u32,
    was_low: bool,
    rises: u32,
    /// Of the first rise and of the last; what is before and after may be silence.
    between: (u32, u32),
}

impl Pitch {
    fn hear(&mut self, frame: &[i16]) {
        let well = frame.iter().map(|sample| sample.unsigned_abs()).max().unwrap_or_default() / 4;
        for sample in frame {
            let is_well = sample.unsigned_abs() > well;
            if self.was_low && is_well && *sample > 0 {
                let first = if self.rises == 0 { self.samples } else { self.between.0 };
                self.between = (first, self.samples);
                self.rises += 1;
            }
            self.was_low = if is_well { *sample < 0 } else { self.was_low };
            self.samples += 1;
        }
    }

    fn hz(self, rate: u32) -> u32 {
        let (periods, samples) = (self.rises.saturating_sub(1), self.between.1 - self.between.0);
        (u64::from(periods) * u64::from(rate) / u64::from(samples.max(1))) as u32
    }
}

impl Hearing {
    /// Audio since the last commit or clear, milliseconds.
    pub(in crate::lab) fn buffered_ms(&self) -> u64 {
        self.buffered_ms
    }

    /// All audio so far, milliseconds.
    pub(in crate::lab) fn heard_ms(&self) -> u64 {
        self.heard_ms
    }

    /// What is to be said by one who heard this caller: an echo takes the pitch of the last turn.
    pub(in crate::lab) fn answer<'a>(&self, say: &'a Say) -> Cow<'a, Say> {
        match say {
            Say::Echo { echo_ms } => Cow::Owned(Say::Tone { tone_hz: self.pitch_hz(), ms: *echo_ms }),
            Say::Words(_) | Say::Tone { .. } | Say::Silence { .. } => Cow::Borrowed(say),
        }
    }

    /// How high the last turn was, Hz; the present one, while it lasts.
    pub(in crate::lab) fn pitch_hz(&self) -> u32 {
        self.pitch.hz(self.rate)
    }

    /// Forgets what was buffered.
    pub(in crate::lab) fn clear(&mut self) {
        self.buffered_ms = 0;
    }

    /// Hears samples at a rate in Hz.
    pub(in crate::lab) fn hear(&mut self, samples: &[i16], rate: u32, detection: Option<Detection>) -> Vec<Noticed> {
        self.rate = rate;
        let frame_samples = (u128::from(rate) * FRAME.as_millis() / 1_000) as usize;
        self.pending.extend_from_slice(samples);
        let whole = self.pending.len() / frame_samples * frame_samples;
        let frames: Vec<i16> = self.pending.drain(..whole).collect();
        frames.chunks(frame_samples).filter_map(|frame| self.judge(frame, detection)).collect()
    }

    fn judge(&mut self, frame: &[i16], detection: Option<Detection>) -> Option<Noticed> {
        self.heard_ms += FRAME_MS;
        self.buffered_ms += FRAME_MS;
        let detection = detection?;
        let loud = level_dbfs(frame) >= detection.level_dbfs();
        self.loud_run = if loud { self.loud_run + 1 } else { 0 };
        self.quiet_ms = if loud { 0 } else { self.quiet_ms + FRAME_MS };
        if loud {
            self.pitch.hear(frame);
        }
        match self.speaking_since {
            None if self.loud_run >= ONSET => {
                let start = self.heard_ms.saturating_sub(u64::from(ONSET) * FRAME_MS);
                self.speaking_since = Some(start);
                self.pitch = Pitch::default();
                Some(Noticed::Started { audio_start_ms: start.saturating_sub(detection.prefix_ms) })
            }
            Some(start) if self.quiet_ms >= detection.silence_ms => {
                self.speaking_since = None;
                let speech_ms = self.heard_ms.saturating_sub(self.quiet_ms).saturating_sub(start);
                Some(Noticed::Stopped { audio_end_ms: self.heard_ms, speech_ms })
            }
            None | Some(_) => None,
        }
    }
}

fn level_dbfs(frame: &[i16]) -> f64 {
    let power: f64 = frame.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>() / frame.len().max(1) as f64;
    10.0 * (power.max(1.0) / f64::from(i16::MAX).powi(2)).log10()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DETECTION: Detection =
        Detection { threshold: 0.5, prefix_ms: 300, silence_ms: 200, create: true, interrupt: true };

    fn tone(ms: u64, peak: f64) -> Vec<i16> {
        (0..ms * 8).map(|n| ((n as f64 * 0.7).sin() * peak) as i16).collect()
    }

    #[test]
    fn a_turn_begins_with_its_prefix_and_ends_after_its_silence() {
        let mut hearing = Hearing::default();
        let mut line = tone(1_000, 0.0);
        line.extend(tone(600, 8_000.0));
        line.extend(tone(300, 0.0));
        let noticed: Vec<_> = line.chunks(160).flat_map(|f| hearing.hear(f, 8_000, Some(DETECTION))).collect();
        let expected =
            [Noticed::Started { audio_start_ms: 700 }, Noticed::Stopped { audio_end_ms: 1_800, speech_ms: 600 }];
        assert_eq!(noticed, expected);
    }

    #[test]
    fn an_echo_has_the_pitch_of_the_last_turn() {
        for rate in [8_000, 16_000, 24_000] {
            let tone = |hz: f64, ms: u64| -> Vec<i16> {
                let step = std::f64::consts::TAU * hz / f64::from(rate);
                (0..ms * u64::from(rate) / 1_000).map(|n| ((n as f64 * step).sin() * 8_000.0) as i16).collect()
            };
            let mut hearing = Hearing::default();
            for hz in [431.0, 2_975.0] {
                hearing.hear(&tone(hz, 800), rate, Some(DETECTION));
                hearing.hear(&tone(hz, 300).iter().map(|_| 0).collect::<Vec<_>>(), rate, Some(DETECTION));
                let said = hearing.answer(&Say::Echo { echo_ms: 500 }).into_owned();
                let Say::Tone { tone_hz, ms: 500 } = said else { panic!("{said:?}") };
                assert!((f64::from(tone_hz) - hz).abs() <= 3.0, "{tone_hz} Hz for {hz} Hz at {rate} Hz");
            }
        }
    }

    #[test]
    fn clicks_and_room_tone_are_not_speech_and_a_turn_without_silence_does_not_end() {
        let mut hearing = Hearing::default();
        let mut line = tone(40, 8_000.0);
        line.extend(tone(500, 200.0));
        assert_eq!(hearing.hear(&line, 8_000, Some(DETECTION)), []);
        let started = hearing.hear(&tone(600, 8_000.0), 8_000, Some(DETECTION));
        assert!(matches!(started[..], [Noticed::Started { .. }]));
        assert_eq!(hearing.hear(&[], 8_000, Some(DETECTION)), [], "no audio, no end");
    }
}
