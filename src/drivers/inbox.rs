//! What comes back to one call from elsewhere. Most calls ask for nothing: the queue is made with the first question.
use std::future::pending;
use tokio::sync::mpsc;

/// Answers to one call.
#[derive(Debug)]
pub struct Inbox<T> {
    bound: usize,
    made: Option<(mpsc::Sender<T>, mpsc::Receiver<T>)>,
}

impl<T> Inbox<T> {
    /// At most `bound` answers wait in it.
    pub const fn new(bound: usize) -> Self {
        Self { bound, made: None }
    }

    /// Where an answer is put.
    pub fn sender(&mut self) -> &mpsc::Sender<T> {
        &self.made.get_or_insert_with(|| mpsc::channel(self.bound)).0
    }

    /// The next answer; nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> T {
        match &mut self.made {
            Some((_, answers)) => match answers.recv().await {
                Some(answer) => answer,
                // It holds a sender itself.
                None => pending().await,
            },
            None => pending().await,
        }
    }
}
