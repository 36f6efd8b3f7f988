//! A simulated server's ear: it counts audio, not time, so a client that stops sending never ends its turn.
use std::time::Duration;

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
    heard_ms: u64,
    loud_run: u32,
    quiet_ms: u64,
    speaking_since: Option<u64>,
    /// Since the last commit or clear.
    buffered_ms: u64,
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

    /// Forgets what was buffered.
    pub(in crate::lab) fn clear(&mut self) {
        self.buffered_ms = 0;
    }

    /// Hears samples at a rate in Hz.
    pub(in crate::lab) fn hear(&mut self, samples: &[i16], rate: u32, detection: Option<Detection>) -> Vec<Noticed> {
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
        match self.speaking_since {
            None if self.loud_run >= ONSET => {
                let start = self.heard_ms.saturating_sub(u64::from(ONSET) * FRAME_MS);
                self.speaking_since = Some(start);
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
