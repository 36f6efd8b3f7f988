//! Sentences already spoken: a receptionist says the same ones all day.
use media::Frame;
use providers::local::Language;
use std::collections::{BTreeMap, HashMap};

/// A least-recently-used cache, bounded in samples.
#[derive(Debug)]
pub(super) struct Cache {
    room: usize,
    held: usize,
    clock: u64,
    frames: HashMap<(Language, String), (u64, Frame)>,
    /// Oldest use first.
    uses: BTreeMap<u64, (Language, String)>,
}

impl Cache {
    /// An empty cache for so many samples.
    pub(super) fn new(room: usize) -> Self {
        Self { room, held: 0, clock: 0, frames: HashMap::new(), uses: BTreeMap::new() }
    }

    /// The sentence, if it was spoken lately.
    pub(super) fn find(&mut self, language: Language, text: &str) -> Option<Frame> {
        let key = (language, text.to_owned());
        let (used, frame) = self.frames.get_mut(&key)?;
        self.uses.remove(used);
        self.clock += 1;
        *used = self.clock;
        self.uses.insert(self.clock, key);
        Some(frame.clone())
    }

    /// Keeps a sentence; those not used for longest make room.
    pub(super) fn keep(&mut self, language: Language, text: &str, frame: &Frame) {
        if frame.samples.len() > self.room {
            return;
        }
        let key = (language, text.to_owned());
        self.clock += 1;
        if let Some((used, old)) = self.frames.insert(key.clone(), (self.clock, frame.clone())) {
            self.uses.remove(&used);
            self.held -= old.samples.len();
        }
        self.uses.insert(self.clock, key);
        self.held += frame.samples.len();
        while self.held > self.room {
            let Some((_, oldest)) = self.uses.pop_first() else { break };
            if let Some((_, frame)) = self.frames.remove(&oldest) {
                self.held -= frame.samples.len();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use media::SampleRate;

    #[test]
    fn what_was_not_used_for_longest_makes_room() {
        let frame = |len| Frame { rate: SampleRate::HZ_8000, samples: vec![1; len] };
        let mut cache = Cache::new(100);
        let en = Language::EnUs;
        cache.keep(en, "a", &frame(40));
        cache.keep(en, "b", &frame(40));
        assert_eq!(cache.find(en, "a"), Some(frame(40)));
        cache.keep(en, "c", &frame(40));
        assert_eq!(cache.find(en, "b"), None, "the least recently used is gone");
        assert_eq!(cache.find(en, "a"), Some(frame(40)));
        assert_eq!(cache.find(Language::PtBr, "a"), None, "languages do not share sentences");
        cache.keep(en, "a", &frame(10));
        assert_eq!((cache.held, cache.find(en, "a")), (50, Some(frame(10))), "a sentence kept twice counts once");
        cache.keep(en, "d", &frame(101));
        assert_eq!((cache.held, cache.find(en, "d")), (50, None), "what would empty the cache is not kept");
        assert_eq!(cache.frames.len(), cache.uses.len());
    }
}
