//! Sentences already spoken: a receptionist says the same ones all day.
use media::{
    Frame, SampleRate,
    prompt::{Form, Prompt},
};
use providers::local::Language;
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// A least-recently-used cache, bounded in bytes.
#[derive(Debug)]
pub(super) struct Cache {
    room: usize,
    held: usize,
    clock: u64,
    sentences: HashMap<Key, Sentence>,
    /// Oldest use first.
    uses: BTreeMap<u64, Key>,
}

/// A sentence, whoever speaks it, as wide as it is spoken.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    language: Language,
    width: SampleRate,
    text: String,
}

impl Key {
    fn new((language, width): (Language, SampleRate), text: &str) -> Self {
        Self { language, width, text: text.to_owned() }
    }
}

/// A sentence as it was spoken, and as it was encoded for calls of some forms.
#[derive(Debug)]
struct Sentence {
    used: u64,
    frame: Arc<Frame>,
    prompts: Vec<Arc<Prompt>>,
}

impl Sentence {
    fn size(&self) -> usize {
        size_of_val(self.frame.samples.as_slice()) + self.prompts.iter().map(|prompt| prompt.size()).sum::<usize>()
    }
}

impl Cache {
    /// An empty cache for so many bytes.
    pub(super) fn new(room: usize) -> Self {
        Self { room, held: 0, clock: 0, sentences: HashMap::new(), uses: BTreeMap::new() }
    }

    /// The sentence, if it was spoken lately, as wide; and encoded for calls of this form, if it was.
    pub(super) fn find(
        &mut self,
        voice: (Language, SampleRate),
        text: &str,
        form: Option<Form>,
    ) -> Option<(Arc<Frame>, Option<Arc<Prompt>>)> {
        let key = Key::new(voice, text);
        let sentence = self.sentences.get_mut(&key)?;
        self.uses.remove(&sentence.used);
        self.clock += 1;
        sentence.used = self.clock;
        self.uses.insert(self.clock, key);
        let prompt = form.and_then(|form| sentence.prompts.iter().find(|prompt| prompt.form() == form).cloned());
        Some((Arc::clone(&sentence.frame), prompt))
    }

    /// Keeps a sentence; those not used for longest make room.
    pub(super) fn keep(&mut self, voice: (Language, SampleRate), text: &str, frame: &Frame) {
        if size_of_val(frame.samples.as_slice()) > self.room {
            return;
        }
        let key = Key::new(voice, text);
        self.clock += 1;
        let sentence = Sentence { used: self.clock, frame: Arc::new(frame.clone()), prompts: Vec::new() };
        self.held += sentence.size();
        if let Some(old) = self.sentences.insert(key.clone(), sentence) {
            self.uses.remove(&old.used);
            self.held -= old.size();
        }
        self.uses.insert(self.clock, key);
        self.make_room();
    }

    /// Keeps what a sentence was encoded as, for as long as the sentence is kept.
    pub(super) fn keep_prompt(&mut self, voice: (Language, SampleRate), text: &str, prompt: &Arc<Prompt>) {
        let Some(sentence) = self.sentences.get_mut(&Key::new(voice, text)) else { return };
        if sentence.prompts.iter().any(|other| other.form() == prompt.form()) {
            return; // another call was as quick
        }
        sentence.prompts.push(Arc::clone(prompt));
        self.held += prompt.size();
        self.make_room();
    }

    fn make_room(&mut self) {
        while self.held > self.room {
            let Some((_, oldest)) = self.uses.pop_first() else { break };
            if let Some(sentence) = self.sentences.remove(&oldest) {
                self.held -= sentence.size();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EN: (Language, SampleRate) = (Language::EnUs, SampleRate::HZ_8000);

    #[test]
    fn what_was_not_used_for_longest_makes_room() {
        let frame = |len| Arc::new(Frame { rate: SampleRate::HZ_8000, samples: vec![1; len] });
        let (mut cache, en) = (Cache::new(200), EN);
        let find = |cache: &mut Cache, voice, text| cache.find(voice, text, None).map(|(frame, _)| frame);
        cache.keep(en, "a", &frame(40));
        cache.keep(en, "b", &frame(40));
        assert_eq!(find(&mut cache, en, "a"), Some(frame(40)));
        cache.keep(en, "c", &frame(40));
        assert_eq!(find(&mut cache, en, "b"), None, "the least recently used is gone");
        assert_eq!(find(&mut cache, en, "a"), Some(frame(40)));
        assert_eq!(find(&mut cache, (Language::PtBr, en.1), "a"), None, "languages do not share sentences");
        assert_eq!(find(&mut cache, (en.0, SampleRate::HZ_16000), "a"), None, "nor do calls of other widths");
        cache.keep(en, "a", &frame(10));
        assert_eq!(
            (cache.held, find(&mut cache, en, "a")),
            (100, Some(frame(10))),
            "a sentence kept twice counts once"
        );
        cache.keep(en, "d", &frame(101));
        assert_eq!((cache.held, find(&mut cache, en, "d")), (100, None), "what would empty the cache is not kept");
        assert_eq!(cache.sentences.len(), cache.uses.len());
    }

    #[test]
    fn packets_take_room_too_and_go_with_their_sentence() {
        let frame = Arc::new(Frame { rate: SampleRate::HZ_8000, samples: vec![1; 800] });
        let [one, other] = [None, Some(8_000)].map(super::super::tests::form);
        let (mut cache, en) = (Cache::new(16_000), EN);
        cache.keep(en, "a", &frame);
        let prompt = Arc::new(one.encode(&frame).unwrap());
        cache.keep_prompt(en, "a", &prompt);
        cache.keep_prompt(en, "a", &prompt);
        assert_eq!(cache.held, 1_600 + prompt.size(), "once");
        let (_, found) = cache.find(en, "a", Some(one)).unwrap();
        assert!(found.is_some_and(|found| Arc::ptr_eq(&found, &prompt)), "not a copy");
        assert_eq!(cache.find(en, "a", Some(other)), Some((frame.clone(), None)), "a form of its own");
        cache.keep_prompt(en, "b", &prompt);
        (0..8).for_each(|n| cache.keep(en, &n.to_string(), &frame));
        assert_eq!((cache.find(en, "a", Some(one)), cache.held), (None, 8 * 1_600));
    }
}
