//! What a call sounds like, to those who listen in while it is up.
//!
//! Overflow policy: blocks that a listener does not take are overwritten by newer ones, and it is told how many frames
//! those had.
use crate::call::ListenerId;
use media::{SampleRate, recording::Block};
use std::sync::Arc;
use tokio::sync::broadcast::{self, error::RecvError};

/// Blocks that may wait for a listener: 2.5 seconds.
const WAITING: usize = 128;

/// Somebody who listens to a call, until this is dropped.
#[derive(Debug)]
pub struct Listener {
    /// Frames per second.
    pub rate: SampleRate,
    blocks: broadcast::Receiver<Arc<Block>>,
    /// Where the next block begins, once there was one.
    next: Option<u64>,
}

/// A piece of both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sound {
    /// Frames between the piece before and this one, for which the listener was too slow.
    pub missed: u64,
    /// The caller on the left, the assistant on the right, in turn.
    pub samples: Arc<Block>,
}

impl Listener {
    /// The next 20 ms, about 400 ms after they were; `None` when the call is over.
    pub async fn next(&mut self) -> Option<Sound> {
        loop {
            match self.blocks.recv().await {
                Ok(samples) => {
                    let frames = samples.samples.len() as u64 / 2;
                    let expected = self.next.replace(samples.at + frames).unwrap_or(samples.at);
                    return Some(Sound { missed: samples.at.saturating_sub(expected), samples });
                }
                Err(RecvError::Lagged(_)) => {} // the next block says where it is
                Err(RecvError::Closed) => return None,
            }
        }
    }
}

/// Those who listen to one call, as its task has them.
#[derive(Debug, Default)]
pub struct Listeners(Vec<(ListenerId, broadcast::Sender<Arc<Block>>)>);

impl Listeners {
    /// Somebody begins to listen.
    pub fn add(&mut self, id: ListenerId, rate: SampleRate) -> Listener {
        let (sender, blocks) = broadcast::channel(WAITING);
        self.0.push((id, sender));
        Listener { rate, blocks, next: None }
    }

    /// Whether nobody listens.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Gives everybody a block, and never waits. Returns those who do not listen any more.
    pub fn push(&mut self, block: &Arc<Block>) -> Vec<ListenerId> {
        let (here, gone): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.0).into_iter().partition(|(_, sender)| sender.send(Arc::clone(block)).is_ok());
        self.0 = here;
        gone.into_iter().map(|(id, _)| id).collect()
    }
}
