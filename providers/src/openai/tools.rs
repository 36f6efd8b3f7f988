//! Tool calls of one response are answered together: their results first, then one new response.
use crate::dialect::Respond;
use std::collections::VecDeque;

/// Batches remembered; a conversation that leaves more unanswered has lost the oldest.
const REMEMBERED: usize = 16;

/// Whether the assistant may speak about a batch's results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settled {
    /// Answers or the end of the response are missing.
    NotYet,
    /// All is there, and somebody wants words about it.
    Speak,
    /// All is there, and nobody does.
    Silent,
}

/// Why an answer was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotAsked {
    /// No such call, or an answer was given before.
    UnknownCall,
}

#[derive(Debug)]
struct Batch {
    response: String,
    pending: Vec<String>,
    /// Calls that somebody else makes and answers.
    elsewhere: Vec<String>,
    answered: Vec<String>,
    respond: Respond,
    response_over: bool,
}

impl Batch {
    fn settled(&self) -> Settled {
        match (self.pending.is_empty() && self.response_over, self.respond) {
            (false, _) => Settled::NotYet,
            (true, Respond::Yes) => Settled::Speak,
            (true, Respond::No) => Settled::Silent,
        }
    }
}

/// The tool calls of a conversation.
#[derive(Debug, Default)]
pub(crate) struct Tools {
    batches: VecDeque<Batch>,
}

impl Tools {
    /// A call arrived; false when it is known, since servers tell of it twice.
    pub(crate) fn open(&mut self, response_id: &str, call_id: &str) -> bool {
        let known = |batch: &Batch| batch.pending.iter().chain(&batch.answered).any(|id| id == call_id);
        if self.batches.iter().any(known) {
            return false;
        }
        if let Some(batch) = self.batches.iter_mut().find(|batch| batch.response == response_id) {
            batch.pending.push(call_id.to_owned());
            return true;
        }
        if self.batches.len() >= REMEMBERED {
            self.batches.pop_front();
        }
        self.batches.push_back(Batch {
            response: response_id.to_owned(),
            pending: vec![call_id.to_owned()],
            elsewhere: Vec::new(),
            answered: Vec::new(),
            respond: Respond::No,
            response_over: false,
        });
        true
    }

    /// Whether no answer is awaited.
    pub(crate) fn is_settled(&self) -> bool {
        self.batches.iter().all(|batch| batch.pending.is_empty())
    }

    /// A call was answered.
    ///
    /// # Errors
    ///
    /// When it was not asked, or not any more.
    pub(crate) fn answer(&mut self, call_id: &str, respond: Respond) -> Result<Settled, NotAsked> {
        let asked = |batch: &&mut Batch| batch.pending.iter().any(|id| id == call_id);
        let batch = self.batches.iter_mut().find(asked).ok_or(NotAsked::UnknownCall)?;
        batch.pending.retain(|id| id != call_id);
        batch.answered.push(call_id.to_owned());
        if respond == Respond::Yes {
            batch.respond = Respond::Yes;
        }
        Ok(batch.settled())
    }

    /// The same of a call that the provider makes itself.
    pub(crate) fn open_elsewhere(&mut self, response_id: &str, call_id: &str) -> bool {
        let opened = self.open(response_id, call_id);
        if let Some(batch) = self.batches.iter_mut().find(|batch| opened && batch.response == response_id) {
            batch.elsewhere.push(call_id.to_owned());
        }
        opened
    }

    /// A response was broken off: of the calls that the provider makes itself nobody waits for an answer.
    pub(crate) fn give_up(&mut self, response_id: &str) {
        if let Some(Batch { pending, elsewhere, answered, .. }) =
            self.batches.iter_mut().find(|batch| batch.response == response_id)
        {
            answered.extend(pending.extract_if(.., |id| elsewhere.contains(id)));
        }
    }

    /// The response that called is over.
    pub(crate) fn response_over(&mut self, response_id: &str) -> Settled {
        let Some(batch) = self.batches.iter_mut().find(|batch| batch.response == response_id) else {
            return Settled::Silent;
        };
        batch.response_over = true;
        batch.settled()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_about_results_wait_for_all_answers_and_for_the_end_of_the_response() {
        let mut tools = Tools::default();
        assert!(tools.open("r", "a") && tools.open("r", "b"));
        assert!(!tools.open("r", "a"), "told twice, asked once");
        assert_eq!(tools.answer("a", Respond::Yes), Ok(Settled::NotYet));
        assert_eq!(tools.response_over("r"), Settled::NotYet);
        assert_eq!(tools.answer("b", Respond::No), Ok(Settled::Speak));
        assert_eq!(tools.answer("b", Respond::No), Err(NotAsked::UnknownCall));
        assert!(!tools.open("r", "b"), "an answered call stays known");
    }

    #[test]
    fn answers_before_the_end_of_the_response_wait_for_it() {
        let mut tools = Tools::default();
        tools.open("r", "a");
        assert_eq!(tools.answer("a", Respond::Yes), Ok(Settled::NotYet));
        assert_eq!(tools.response_over("r"), Settled::Speak);
    }

    #[test]
    fn of_a_response_that_was_broken_off_only_our_calls_are_answered() {
        let mut tools = Tools::default();
        assert!(tools.open_elsewhere("r", "theirs") && tools.open("r", "ours"));
        tools.give_up("r");
        assert_eq!(tools.answer("theirs", Respond::Yes), Err(NotAsked::UnknownCall));
        assert!(!tools.is_settled());
        tools.answer("ours", Respond::No).unwrap();
        assert!(tools.is_settled() && !tools.open_elsewhere("r", "theirs"), "it stays known");
    }

    #[test]
    fn nobody_speaks_when_nobody_asked_for_words() {
        let mut tools = Tools::default();
        tools.open("r", "a");
        tools.response_over("r");
        assert_eq!(tools.answer("a", Respond::No), Ok(Settled::Silent));
        assert_eq!(tools.response_over("other"), Settled::Silent);
    }
}
