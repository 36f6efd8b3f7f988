//! Looks up for calls what their tenants have written down, beside their threads: no call waits for the database.
use super::inbox::Inbox;
use crate::{
    call::{Lookup, LookupId, lookup::PATIENCE},
    knowledge::{FOUND, Passage},
    store::Store,
};
use std::sync::Arc;
use tokio::{
    sync::mpsc,
    time::{Instant, timeout_at},
};
use tracing::warn;

/// Questions that may wait; what comes on top is answered at once, by nobody.
const QUEUE: usize = 256;
/// Answers that may wait for a call, which asks less than that at once.
const ANSWERS: usize = 8;

/// What came of a question; nothing where nobody could tell.
pub type Answer = (LookupId, Option<Vec<Passage>>);

/// Whoever looks things up, for all calls.
#[derive(Clone, Debug)]
pub struct Library(mpsc::Sender<Question>);

#[derive(Debug)]
struct Question {
    lookup: Lookup,
    by: Instant,
    answer: mpsc::Sender<Answer>,
}

impl Library {
    /// Begins to answer, until the last of them is gone.
    pub fn start(store: Arc<dyn Store>) -> Self {
        let (sender, questions) = mpsc::channel(QUEUE);
        tokio::spawn(run(questions, store));
        Self(sender)
    }

    /// What one call asks.
    pub fn desk(&self) -> Desk {
        Desk { library: self.clone(), answers: Inbox::new(ANSWERS) }
    }
}

/// Where one call asks, and is answered.
#[derive(Debug)]
pub struct Desk {
    library: Library,
    answers: Inbox<Answer>,
}

impl Desk {
    /// Asks; the answer comes in time for the call to be of use, or not at all.
    pub fn ask(&mut self, lookup: Lookup) {
        let (id, by) = (lookup.id, Instant::now() + PATIENCE);
        let question = Question { lookup, by, answer: self.answers.sender().clone() };
        if self.library.0.try_send(question).is_err() {
            warn!("too much is being looked up: a call goes without");
            // A call that has so many answers to read asks too much.
            let _ = self.answers.sender().try_send((id, None));
        }
    }

    /// The next answer; nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Answer {
        self.answers.next().await
    }
}

/// One question after the other, each a matter of milliseconds: the other connections of the database are for calls that come in, and
/// for records.
async fn run(mut questions: mpsc::Receiver<Question>, store: Arc<dyn Store>) {
    while let Some(Question { lookup, by, answer }) = questions.recv().await {
        // Whoever has waited too long has been told so.
        if by <= Instant::now() {
            continue;
        }
        let Lookup { id, domain, collection, question } = lookup;
        let found = match timeout_at(by, store.knowledge().look_up((domain, collection), &question, FOUND)).await {
            Ok(Ok(found)) => Some(found),
            Ok(Err(problem)) => {
                warn!(%domain, %problem, "Nothing can be looked up");
                None
            }
            Err(_) => {
                warn!(%domain, "What is looked up is not found in time");
                None
            }
        };
        // A call that is over wants no answer.
        let _ = answer.try_send((id, found));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests as stored;
    use uuid::Uuid;

    fn lookup(id: u64) -> Lookup {
        let (domain, collection) = (Uuid::from_u128(1), Uuid::from_u128(2));
        Lookup { id: LookupId(id), domain, collection, question: "horário".into() }
    }

    #[tokio::test]
    async fn each_call_has_its_own_answers_and_a_database_that_is_away_is_none() {
        let scratch = stored::sqlite().await.unwrap();
        let library = Library::start(Arc::new(scratch.store.clone()));
        let (mut one, mut other) = (library.desk(), library.desk());
        one.ask(lookup(7));
        other.ask(lookup(8));
        assert_eq!(one.next().await, (LookupId(7), Some(Vec::new())));
        assert_eq!(other.next().await, (LookupId(8), Some(Vec::new())));
        let mut alone = Library::start(stored::unplugged().await).desk();
        alone.ask(lookup(1));
        assert_eq!(alone.next().await, (LookupId(1), None));
    }

    #[tokio::test]
    async fn what_is_asked_beyond_the_queue_is_answered_at_once() {
        let (sender, _questions) = mpsc::channel(1);
        let mut desk = Library(sender).desk();
        desk.ask(lookup(1));
        desk.ask(lookup(2));
        assert_eq!(desk.next().await, (LookupId(2), None));
    }
}
