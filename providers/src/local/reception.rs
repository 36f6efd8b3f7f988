//! What the receptionist says to what it is asked. Knows no audio and no time.
use super::{
    Answer, Config, Disclosure, Hearing, Language,
    intent::{Intent, intent},
    menu::{self, Choice, MenuItem},
    mouth::{After, Kind, Line, Reply},
    phrases::{self, Phrases},
    retrieval::{Book, Found},
    text,
};
use media::Frame;
use serde::Deserialize;

/// A question that scores this well is answered even if it sounds like a wish to be put through.
const CERTAIN: f32 = 0.55;
/// Examples of questions given to somebody who listens, and cannot go back.
const EXAMPLES: usize = 2;
/// More names than this are not listed.
const LISTED: usize = 4;
/// Keys of the menu that are read unasked; `0` reads all of them.
const READ_UNASKED: usize = 4;

/// The registered texts and the phrases around them.
#[derive(Debug)]
pub(super) struct Reception {
    config: Config,
    book: Book,
    menu: Vec<MenuItem>,
}

/// The parts of a tool's outcome that are worth saying.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Outcome {
    status: String,
    reason: String,
}

impl Reception {
    pub(super) fn new(config: Config) -> Self {
        let book = Book::new(&config.answers, config.language);
        let menu = if config.menu.is_empty() {
            menu::automatic(&config.answers, &config.transfers)
        } else {
            menu::checked(&config.menu, config.answers.len(), config.transfers.len())
        };
        Self { config, book, menu }
    }

    pub(super) const fn config(&self) -> &Config {
        &self.config
    }

    /// The first sentence of every registered answer.
    pub(super) fn first_sentences(&self) -> Vec<Line> {
        self.config.answers.iter().filter_map(|answer| self.verbatim(&answer.answer).into_iter().next()).collect()
    }

    /// The first words of a call.
    pub(super) fn greeting(&self) -> Reply {
        let (own, disclosure) = (self.phrases(), self.disclosure());
        // A first message tends to end with a question, and whoever answers it at once must have heard the disclosure.
        let mut lines = self.optional(self.config.notice.as_deref());
        lines.extend(match &self.config.first_message {
            Some(text) => [disclosure, self.verbatim(text)].concat(),
            None => self.own_with(own.greeting, disclosure),
        });
        if self.config.voice != self.config.language {
            lines.extend(self.own(own.no_voice));
        }
        if self.config.hearing == Hearing::Words && self.config.first_message.is_none() {
            lines.extend(self.own(own.ask));
        }
        lines.extend(self.optional(self.config.keys_announcement.as_deref()));
        if self.config.hearing == Hearing::None {
            lines.extend(self.menu_beginning());
        }
        Reply { lines, after: After::Listen, kind: Kind::Answer }
    }

    /// What this is, unless the owner tells callers in another way.
    pub(super) fn disclosure(&self) -> Vec<Line> {
        let own = self.phrases();
        match (self.config.disclosure, self.config.hearing) {
            (Disclosure::Spoken, Hearing::Words) => self.own(own.disclosure_words),
            (Disclosure::Spoken, Hearing::None) => self.own(own.disclosure_tones),
            (Disclosure::Omitted, _) => Vec::new(),
        }
    }

    /// What can be asked.
    pub(super) fn help(&self) -> Reply {
        self.remark(self.offers())
    }

    /// The reply to what the caller said; `None` when the last answer is wanted again.
    pub(super) fn reply(&self, said: &str) -> Option<Reply> {
        let words = text::words(said);
        let own = self.phrases();
        let found = self.book.find(&words);
        Some(match (intent(&words, &self.config.transfers, self.config.language), found) {
            (Intent::Repeat, _) => return None,
            (Intent::Transfer(index), _) => self.transfer(index),
            (Intent::TransferToAnybody, _) => self.transfer(0),
            (Intent::TransferToUnknown, Some(Found { answer, score })) if score >= CERTAIN => self.answer(answer),
            (Intent::TransferToUnknown, _) => self.unknown_target(),
            (Intent::Key(key), _) => self.key(key),
            (Intent::Goodbye, _) => Reply { lines: self.own(own.farewell), after: After::HangUp, kind: Kind::Remark },
            (Intent::Thanks, _) => self.remark(self.own(own.thanks)),
            (Intent::Greeting, _) => self.remark(self.own(own.hello)),
            (Intent::Question | Intent::WhoAreYou | Intent::Help, Some(Found { answer, .. })) => self.answer(answer),
            (Intent::WhoAreYou, None) => self.remark(self.own_with(own.disclosure_words, self.offers())),
            (Intent::Help, None) => self.help(),
            (Intent::Question, None) => self.remark(self.own_with(own.unknown, self.offers())),
        })
    }

    /// The reply to a key.
    pub(super) fn key(&self, key: char) -> Reply {
        let choice = self.menu.iter().find(|item| item.key == key).map(|item| item.choice);
        match choice {
            Some(Choice::Answer(index)) => self.answer(index),
            Some(Choice::Transfer(index)) => self.transfer(index),
            None if key == menu::REPEAT => self.menu(),
            None => self.remark(self.own_with(self.phrases().unknown_key, self.menu_beginning())),
        }
    }

    /// The menu itself.
    pub(super) fn menu(&self) -> Reply {
        self.remark(self.menu_lines())
    }

    /// Plays back what the caller said.
    pub(super) fn parrot(&self, frame: Frame) -> Reply {
        let own = self.phrases();
        let sound = Line::Sound { frame, shown: own.parrot_shown.to_owned() };
        self.remark(self.own_with(own.parrot, vec![sound]))
    }

    pub(super) fn not_understood(&self) -> Reply {
        self.remark(self.own(self.phrases().not_understood))
    }

    /// After the second time in a row: says what can be asked, and that keys work too.
    pub(super) fn still_not_understood(&self) -> Reply {
        self.remark(self.own_with(self.phrases().not_understood, self.menu_beginning()))
    }

    pub(super) fn slow_ears(&self) -> Reply {
        self.remark(self.own(self.phrases().slow_ears))
    }

    pub(super) fn nothing_to_repeat(&self) -> Reply {
        self.remark(self.own_with(self.phrases().nothing_to_repeat, self.offers()))
    }

    /// The caller is back from a transfer that failed for an English reason.
    pub(super) fn transfer_failed(&self, destination: &str, reason: &str) -> Reply {
        let own = self.phrases();
        let lower = reason.to_lowercase();
        let known = own.reasons.iter().find(|(word, _)| lower.contains(word));
        let text = match known {
            Some((_, reason)) => {
                phrases::fill(&phrases::fill(own.transfer_failed_because, self.spoken_name(destination)), reason)
            }
            None => phrases::fill(own.transfer_failed, self.spoken_name(destination)),
        };
        self.remark(self.own(&text))
    }

    /// The call is about to end for an English reason.
    /// What the secretary's menu has said.
    pub(super) fn say(&self, text: &str) -> Reply {
        self.remark(self.verbatim(text))
    }

    pub(super) fn goodbye(&self, reason: &str) -> Reply {
        let own = self.phrases();
        let phrase = if reason.contains("time") { own.say_goodbye_time } else { own.say_goodbye };
        self.remark(self.own(phrase))
    }

    /// What to say to a tool's outcome.
    pub(super) fn tool_outcome(&self, output: &str) -> Reply {
        let outcome: Outcome = serde_json::from_str(output).unwrap_or_default();
        let own = self.phrases();
        match outcome.status.as_str() {
            "transferring" => self.remark(self.own(own.moment)),
            "refused" if outcome.reason.contains("nobody here") => self.unknown_target(),
            _ => self.remark(self.own(own.tool_refused)),
        }
    }

    fn answer(&self, index: usize) -> Reply {
        let lines = self.config.answers.get(index).map(|answer| self.verbatim(&answer.answer)).unwrap_or_default();
        Reply { lines, after: After::Listen, kind: Kind::Answer }
    }

    fn transfer(&self, index: usize) -> Reply {
        let own = self.phrases();
        match self.config.transfers.get(index) {
            None => self.remark(self.own_with(own.no_targets, self.offers())),
            Some(target) => Reply {
                lines: self.own(&phrases::fill(own.transferring, &target.name)),
                after: After::Transfer(target.name.clone()),
                kind: Kind::Remark,
            },
        }
    }

    fn unknown_target(&self) -> Reply {
        let own = self.phrases();
        let names: Vec<_> = self.config.transfers.iter().map(|target| target.name.clone()).collect();
        if names.is_empty() {
            return self.remark(self.own_with(own.no_targets, self.offers()));
        }
        let offer = phrases::fill(own.offer_transfers, &phrases::list(&names, own.and));
        self.remark(self.own_with(own.unknown_target, self.own(&offer)))
    }

    /// What can be asked, in one breath.
    fn offers(&self) -> Vec<Line> {
        let own = self.phrases();
        let mut lines = self.own(if self.config.answers.is_empty() { own.nothing_registered } else { own.offer });
        let questions = self.config.answers.iter().filter_map(|answer| answer.questions.first());
        lines.extend(questions.take(EXAMPLES).flat_map(|question| self.verbatim(question)));
        let names: Vec<_> = self.config.transfers.iter().take(LISTED).map(|target| target.name.clone()).collect();
        if !names.is_empty() {
            lines.extend(self.own(&phrases::fill(own.offer_transfers, &phrases::list(&names, own.and))));
        }
        lines
    }

    /// The whole menu.
    fn menu_lines(&self) -> Vec<Line> {
        self.menu_read(&self.menu)
    }

    /// As much of the menu as is read to somebody who did not ask for it.
    fn menu_beginning(&self) -> Vec<Line> {
        self.menu_read(self.menu.get(..READ_UNASKED).unwrap_or(&self.menu))
    }

    fn menu_read(&self, items: &[MenuItem]) -> Vec<Line> {
        let own = self.phrases();
        let mut lines = Vec::new();
        if self.config.hearing == Hearing::None {
            lines.extend(self.own(own.parrot_invitation));
        }
        for item in items {
            let (phrase, name) = match item.choice {
                Choice::Answer(index) => (own.key_answer, self.config.answers.get(index).and_then(title)),
                Choice::Transfer(index) => {
                    (own.key_transfer, self.config.transfers.get(index).map(|target| target.name.clone()))
                }
            };
            let key = item.key.to_string();
            let line = |name: String| phrases::fill(&phrases::fill(phrase, &key), &name);
            lines.extend(name.map(line).map(|text| self.line(text)));
        }
        if items.len() < self.menu.len() {
            lines.extend(self.own(own.key_all));
        } else if !items.is_empty() {
            lines.extend(self.own(own.key_repeat));
        }
        lines
    }

    /// The name callers know for a destination that may be a number.
    fn spoken_name<'a>(&'a self, destination: &'a str) -> &'a str {
        let named = self.config.transfers.iter().find(|target| {
            target.name.eq_ignore_ascii_case(destination) || target.aliases.iter().any(|alias| alias == destination)
        });
        named.map_or(destination, |target| target.name.as_str())
    }

    fn phrases(&self) -> &'static Phrases {
        phrases::phrases(self.config.voice)
    }

    fn remark(&self, lines: Vec<Line>) -> Reply {
        Reply { lines, after: After::Listen, kind: Kind::Remark }
    }

    fn own(&self, phrase: &str) -> Vec<Line> {
        text::sentences(phrase).into_iter().map(|text| self.line(text)).collect()
    }

    fn own_with(&self, phrase: &str, more: Vec<Line>) -> Vec<Line> {
        let mut lines = self.own(phrase);
        lines.extend(more);
        lines
    }

    fn line(&self, text: String) -> Line {
        Line::Text { text, language: self.config.voice }
    }

    fn optional(&self, text: Option<&str>) -> Vec<Line> {
        text.map(|text| self.verbatim(text)).unwrap_or_default()
    }

    fn verbatim(&self, text: &str) -> Vec<Line> {
        let language: Language = self.config.language;
        text::sentences(text).into_iter().map(|text| Line::Text { text, language }).collect()
    }
}

/// What a registered answer is called: its first question, without the question mark.
fn title(answer: &Answer) -> Option<String> {
    let question = answer.questions.first()?.trim().trim_end_matches(['?', '.', '!']).trim();
    let mut letters = question.chars();
    let first = letters.next()?;
    Some(first.to_lowercase().chain(letters).collect())
}
