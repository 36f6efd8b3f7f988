//! Audio waiting to be sent, in the form the call's codec wants it.
use std::collections::VecDeque;

use crate::{
    audio::{Audio, Frame, Law, SampleRate},
    codec::{Codec, g711},
};

/// The least that room is made for, in samples.
const STEP: usize = 2_048;

/// Samples in a row: bytes of the call's own law, or PCM at its codec's rate.
#[derive(Clone, Debug)]
pub(super) enum Line {
    G711 { law: Law, bytes: VecDeque<u8> },
    Pcm { rate: SampleRate, samples: VecDeque<i16> },
}

impl Line {
    pub(super) fn new(codec: Codec) -> Self {
        match codec.law() {
            Some(law) => Self::G711 { law, bytes: VecDeque::new() },
            None => Self::Pcm { rate: codec.sample_rate(), samples: VecDeque::new() },
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::G711 { bytes, .. } => bytes.len(),
            Self::Pcm { samples, .. } => samples.len(),
        }
    }

    pub(super) fn rate(&self) -> SampleRate {
        match self {
            Self::G711 { .. } => SampleRate::HZ_8000,
            Self::Pcm { rate, .. } => *rate,
        }
    }

    /// The next sample; 0 if there is none.
    pub(super) fn first(&self) -> i16 {
        match self {
            Self::G711 { law, bytes } => bytes.front().map_or(0, |byte| decoded(*law, *byte)),
            Self::Pcm { samples, .. } => samples.front().copied().unwrap_or_default(),
        }
    }

    /// The last; 0 if there is none.
    pub(super) fn last(&self) -> i16 {
        match self {
            Self::G711 { law, bytes } => bytes.back().map_or(0, |byte| decoded(*law, *byte)),
            Self::Pcm { samples, .. } => samples.back().copied().unwrap_or_default(),
        }
    }

    /// Adds at most `room` samples of PCM at the line's rate; returns how many.
    pub(super) fn push_pcm(&mut self, pcm: &[i16], room: usize) -> usize {
        let taken = pcm.get(..room).unwrap_or(pcm);
        match self {
            Self::G711 { law, bytes } => {
                make_room(bytes, taken.len());
                bytes.extend(g711::encode(*law, taken));
            }
            Self::Pcm { samples, .. } => {
                make_room(samples, taken.len());
                samples.extend(taken);
            }
        }
        taken.len()
    }

    /// Adds at most `room` bytes of the line's own law, untouched; returns how many. `None` if the line is of another
    /// law or of PCM.
    pub(super) fn push_bytes(&mut self, of: Law, g711: &[u8], room: usize) -> Option<usize> {
        match self {
            Self::G711 { law, bytes } if *law == of => {
                let taken = g711.get(..room).unwrap_or(g711);
                make_room(bytes, taken.len());
                bytes.extend(taken);
                Some(taken.len())
            }
            Self::G711 { .. } | Self::Pcm { .. } => None,
        }
    }

    /// The next `count` samples, or all if there are fewer.
    pub(super) fn take(&mut self, count: usize) -> Audio {
        let count = count.min(self.len());
        match self {
            Self::G711 { law, bytes } => Audio::G711 { law: *law, bytes: bytes.drain(..count).collect() },
            Self::Pcm { rate, samples } => Audio::Pcm(Frame { rate: *rate, samples: samples.drain(..count).collect() }),
        }
    }
}

/// By a quarter of what is there and no less than [`STEP`], instead of as much again: what is said to many callers at
/// once waits here.
fn make_room<T>(queue: &mut VecDeque<T>, more: usize) {
    if queue.capacity() - queue.len() < more {
        queue.reserve_exact(more.max(queue.len() / 4).max(STEP));
    }
}

fn decoded(law: Law, byte: u8) -> i16 {
    g711::decode(law, &[byte]).first().copied().unwrap_or_default()
}

/// `count` samples behind those before: what is said next, and what goes on from its end without a jump: the way all of
/// it came, and there again.
pub(super) fn continued(before: Audio, said: Audio, count: usize) -> Audio {
    match (before, said) {
        (Audio::G711 { law, bytes: before }, Audio::G711 { bytes: said, .. }) => {
            Audio::G711 { law, bytes: back_and_forth(&before, &said, count) }
        }
        (Audio::Pcm(Frame { rate, samples: before }), Audio::Pcm(Frame { samples: said, .. })) => {
            Audio::Pcm(Frame { rate, samples: back_and_forth(&before, &said, count) })
        }
        (Audio::G711 { .. } | Audio::Pcm(_), said) => said,
    }
}

fn back_and_forth<T: Copy>(before: &[T], said: &[T], count: usize) -> Vec<T> {
    let back = said.iter().rev().chain(before.iter().rev());
    let there = before.iter().chain(said);
    said.iter().chain(back).chain(there).copied().take(count).collect()
}

/// The last sample; 0 if there is none.
pub(super) fn end(audio: &Audio) -> i16 {
    match audio {
        Audio::G711 { law, bytes } => bytes.last().map_or(0, |byte| decoded(*law, *byte)),
        Audio::Pcm(frame) => frame.samples.last().copied().unwrap_or_default(),
    }
}

/// The samples in frames of `count`, the last of them filled up with silence.
pub(super) fn frames(audio: Audio, count: usize) -> Vec<Audio> {
    let count = count.max(1);
    let mut frames: Vec<(Audio, usize)> = match audio {
        Audio::G711 { law, bytes } => {
            let frames = bytes.chunks(count);
            frames.map(|frame| (Audio::G711 { law, bytes: frame.to_vec() }, frame.len())).collect()
        }
        Audio::Pcm(Frame { rate, samples }) => {
            let frames = samples.chunks(count);
            frames.map(|frame| (Audio::Pcm(Frame { rate, samples: frame.to_vec() }), frame.len())).collect()
        }
    };
    if let Some((last, length)) = frames.last_mut() {
        pad(last, count.saturating_sub(*length));
    }
    frames.into_iter().map(|(frame, _)| frame).collect()
}

/// Silence of `count` samples added at the end.
pub(super) fn pad(audio: &mut Audio, count: usize) {
    match audio {
        Audio::G711 { law, bytes } => bytes.resize(bytes.len() + count, g711::silence(*law)),
        Audio::Pcm(frame) => frame.samples.resize(frame.samples.len() + count, 0),
    }
}

/// The samples changed by `change`, whatever their encoding.
pub(super) fn reshape(audio: Audio, change: impl FnOnce(&mut [i16], SampleRate)) -> Audio {
    match audio {
        Audio::G711 { law, bytes } => {
            let mut samples = g711::decode(law, &bytes);
            change(&mut samples, SampleRate::HZ_8000);
            Audio::G711 { law, bytes: g711::encode(law, &samples) }
        }
        Audio::Pcm(mut frame) => {
            change(&mut frame.samples, frame.rate);
            Audio::Pcm(frame)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_takes_little_more_room_than_it_is_long() {
        let (mut g711, mut pcm) = (Line::new(Codec::Pcmu), Line::new(Codec::G722));
        for _ in 0..300 {
            g711.push_bytes(Law::Mu, &[0; 1_600], usize::MAX);
            pcm.push_pcm(&[0; 3_200], usize::MAX);
            for (line, waits) in [(&g711, 1_600), (&pcm, 3_200)] {
                let room = match line {
                    Line::G711 { bytes, .. } => bytes.capacity(),
                    Line::Pcm { samples, .. } => samples.capacity(),
                };
                let most = line.len() + (line.len() / 4).max(STEP).max(waits);
                assert!(room <= most, "{room} for {}", line.len());
            }
        }
        assert_eq!((g711.len(), pcm.len()), (480_000, 960_000));
    }
}
