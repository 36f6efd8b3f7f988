//! How the calls that are up sound, and those that ended: one task has it all, and is asked.
use crate::{
    metrics,
    record::{MediaQuality, Waterfall},
};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

/// News and questions that may wait; what comes on top is dropped: the next news of a call is five seconds away.
const QUEUE: usize = 1_024;
/// A call without news for so long has ended, and its last word was dropped.
const FORGOTTEN: Duration = Duration::from_secs(60);

/// What the board is told and asked.
#[derive(Debug)]
pub enum News {
    /// How a call sounds so far.
    Measured(Uuid, Box<MediaQuality>),
    /// A call ended, and this is how it sounded; `None` if it had no audio.
    Ended(Uuid, Option<Box<MediaQuality>>),
    /// The assistant answered the caller after this long, spent on this.
    Replied(Duration, Option<Waterfall>),
    /// Another provider went on after this long.
    Changed(Duration),
    /// Somebody asks.
    Look(oneshot::Sender<Board>),
}

/// What is on it.
#[derive(Clone, Debug, Default)]
pub struct Board {
    /// The calls that are up and have been measured, and when that was.
    pub calls: BTreeMap<Uuid, (Instant, MediaQuality)>,
    /// Those that ended.
    pub ended: metrics::Media,
    /// What callers waited for.
    pub waits: metrics::Waits,
}

/// Starts the task; it ends when nobody can tell it anything any more.
pub fn start() -> mpsc::Sender<News> {
    let (sender, mut news) = mpsc::channel(QUEUE);
    tokio::spawn(async move {
        let mut board = Board::default();
        while let Some(news) = news.recv().await {
            match news {
                News::Measured(call, quality) => drop(board.calls.insert(call, (Instant::now(), *quality))),
                News::Ended(call, quality) => {
                    board.calls.remove(&call);
                    if let Some(quality) = quality {
                        board.ended.add(&quality);
                    }
                }
                News::Replied(latency, waterfall) => board.waits.replied(latency, waterfall),
                News::Changed(gap) => board.waits.changed(gap),
                News::Look(asker) => {
                    board.calls.retain(|_, (at, _)| at.elapsed() < FORGOTTEN);
                    // Who asked may have gone.
                    let _ = asker.send(board.clone());
                }
            }
        }
    });
    sender
}
