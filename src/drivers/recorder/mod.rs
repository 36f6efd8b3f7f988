//! Recordings on their way to disk, beside the media threads.
//!
//! A call hands its blocks over in batches and never waits. Overflow policy: a batch that finds no room is dropped, and
//! the file has silence of its length, which the record lists as a gap. There is room for so many of a call, and for so many
//! of all calls, those included that are over and whose files are not. Files are written by the blocking threads of the
//! runtime, a few at a time, so that a disk that stalls holds up recordings and nothing else.
mod corrections;
mod days;
mod erase;
mod file;
pub(crate) mod folder;
mod listing;
mod sounds;
#[cfg(test)]
mod tests;
mod upload;

use crate::{
    config,
    record::{Conversation, Recording, State},
    seal::Key,
};
use chrono::{DateTime, Utc};
pub use erase::Eraser;
use file::{Closed, Tapefile};
use folder::Then;
pub use folder::{Receipt, is_in_use, receipts};
pub use listing::Listing;
use media::{
    SampleRate,
    recording::{Block, Summary},
};
pub(super) use sounds::Sounds;
use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    runtime::Handle,
    sync::{
        Notify, OwnedSemaphorePermit, Semaphore,
        mpsc::{self, error::TrySendError},
        oneshot,
    },
    task::spawn_blocking,
    time::timeout,
};
use tracing::{Instrument, Span, error, info, warn};
use uuid::Uuid;

/// Blocks handed over at a time: half a second.
const BATCH: usize = 25;
/// Batches that may wait for the disk: ten seconds, 640 KB of wideband.
const QUEUE: usize = 20;
/// Batches of all calls that may wait for it: half a gigabyte of wideband. Who hangs up leaves what waits, and others call.
const ROOM: usize = 16_384;
/// Files that are written at a time, of all calls.
const WRITERS: usize = 8;
/// How long the record of a call waits for its file to be closed.
const CLOSE: Duration = Duration::from_secs(4);

/// Makes files of recordings. Clones share the disk.
#[derive(Clone, Debug)]
pub struct Recorder {
    config: Arc<config::Recording>,
    /// Media threads have runtimes of their own, which writing must not hold up.
    runtime: Handle,
    writers: Arc<Semaphore>,
    /// For what waits for the disk.
    room: Arc<Semaphore>,
    /// A file is finished and the record of its call kept: there is something to upload.
    closed: Arc<Notify>,
    /// Something became known of a file when the record of its call was kept: there is a row to correct.
    noted: Arc<Notify>,
}

/// What a recording is called.
#[derive(Clone, Debug)]
pub struct Title {
    /// The tenant.
    pub domain_uuid: Uuid,
    /// The conversation.
    pub conversation_uuid: Uuid,
    /// What joins it to the PBX's records.
    pub call_uuid: String,
    /// When the call came.
    pub started_at: DateTime<Utc>,
}

/// Blocks on their way to the disk, and their room.
#[derive(Debug)]
struct Batch {
    blocks: Vec<Block>,
    _room: OwnedSemaphorePermit,
}

/// The recording of one call, as the call's task has it.
#[derive(Debug)]
pub struct Sink {
    queue: mpsc::Sender<Batch>,
    batch: Vec<Block>,
    closed: oneshot::Receiver<Closed>,
    /// Of which conversation, and where.
    own: (Uuid, String),
    recorder: Recorder,
    dropped: u64,
    listing: Listing,
}

/// A recording in the making, as it is known outside of its call.
#[derive(Debug)]
pub struct Taping {
    since: Instant,
    /// But for how long it is.
    recording: Recording,
    listing: Listing,
}

impl Taping {
    /// Its call broke: what the record of that says of it, and its entry in the list of unfinished recordings.
    pub fn broken(self, why: &str) -> (Recording, Listing) {
        let Self { since, recording, listing } = self;
        (Recording { duration: since.elapsed(), problem: Some(why.to_owned()), ..recording }, listing)
    }
}

impl Recorder {
    /// A recorder whose files are written by the threads of this runtime. Those that an earlier run left are finished, and
    /// their conversations given to `keep`, which has them safe when it returns.
    ///
    /// # Errors
    /// The folder cannot be had, and calls are to be recorded by default.
    pub fn start(
        config: config::Recording,
        keep: impl Fn(&Conversation) -> io::Result<()> + Send + 'static,
    ) -> io::Result<Self> {
        if config.calls.enabled {
            folder::make(&config.directory)?;
        }
        let (config, closed) = (Arc::new(config), Arc::new(Notify::new()));
        let (writers, room) = (Arc::new(Semaphore::new(WRITERS)), Arc::new(Semaphore::new(ROOM)));
        let (runtime, noted) = (Handle::current(), Arc::default());
        let recorder = Self { config: Arc::clone(&config), runtime, writers, room, closed, noted };
        let (directory, then) = (config.directory.clone(), recorder.then());
        let (closed, noted) = (Arc::clone(&recorder.closed), Arc::clone(&recorder.noted));
        let placing = Arc::clone(&config);
        let keep = move |record: &Conversation| keep(&here(&placing, record.clone()));
        recorder.runtime.spawn(async move {
            // It only logs: what it could not finish is tried again at the next start.
            let _ = spawn_blocking(move || folder::finish_orphans(&directory, then, &keep)).await;
            noted.notify_one();
            if let Some(s3) = config.s3.clone() {
                upload::run(config, s3, closed).await;
            }
        });
        Ok(recorder)
    }

    fn then(&self) -> Then {
        if self.config.s3.is_some() { Then::Upload } else { Then::Nothing }
    }

    /// Begins a recording. Nothing touches the disk on this thread. `record` is that of the conversation if this process dies
    /// before it is over.
    pub fn open(&self, title: &Title, mut record: Box<Conversation>, rate: SampleRate, span: Span) -> Sink {
        let (queue, batches) = mpsc::channel(QUEUE);
        let (closing, closed) = oneshot::channel();
        let path = folder::path(title, self.config.format, self.config.key.is_some());
        record.recording = Some(placed(&self.config, torn(&path, &record.end_reason)));
        let (directory, closes) = (&self.config.directory, Arc::clone(&self.closed));
        let listing = Listing::new(directory, record.conversation_uuid, self.then(), closes);
        let request = file::Request {
            directory: directory.clone(),
            path: path.clone(),
            record,
            format: self.config.format,
            rate,
            key: self.config.key.clone(),
            listing: listing.clone(),
        };
        let (writers, recorder, own) = (Arc::clone(&self.writers), self.clone(), (title.conversation_uuid, path));
        let (of, entry) = (own.clone(), listing.clone());
        self.runtime.spawn(
            async move {
                let ended = write(request, batches, writers).await;
                // Nobody waits for the file of a call that broke, and the record of that does not know it.
                if let Err(ended) = closing.send(ended)
                    && let Some(patch) = ended.of_file()
                {
                    recorder.note(of, patch, entry).await;
                }
            }
            .instrument(span),
        );
        let batch = Vec::with_capacity(BATCH);
        Sink { queue, batch, closed, own, recorder: self.clone(), dropped: 0, listing }
    }

    /// The record of a call is kept, which had this entry if it was recorded. Whoever keeps records does not wait for this disk.
    pub fn kept(&self, listing: Option<Listing>) {
        let (Some(listing), writers) = (listing, Arc::clone(&self.writers)) else { return };
        self.runtime.spawn(async move { on_disk(&writers, move || listing.safe()).await });
    }
}

impl Sink {
    /// Takes a block, and never waits.
    pub fn push(&mut self, block: Block) {
        self.batch.push(block);
        if self.batch.len() >= BATCH {
            self.hand_over();
        }
    }

    fn hand_over(&mut self) {
        let blocks = std::mem::replace(&mut self.batch, Vec::with_capacity(BATCH));
        let count = blocks.len() as u64;
        let is_full = match Arc::clone(&self.recorder.room).try_acquire_owned() {
            Ok(room) => matches!(self.queue.try_send(Batch { blocks, _room: room }), Err(TrySendError::Full(_))),
            Err(_) => true,
        };
        if is_full {
            if self.dropped == 0 {
                warn!("the disk does not keep up: the recording has a gap");
            }
            self.dropped += count;
        }
    }

    /// What is known of it should its call break.
    pub fn taping(&self) -> Taping {
        let recording = placed(&self.recorder.config, torn(&self.own.1, ""));
        Taping { since: Instant::now(), recording, listing: self.listing() }
    }

    /// Its entry in the list of unfinished recordings, for [`Recorder::kept`].
    pub fn listing(&self) -> Listing {
        self.listing.clone()
    }

    /// The call is over: what its record says of the recording, once the file is closed or that takes too long. Then the record is
    /// corrected when it is.
    pub async fn finish(self, recording: Recording) -> Recording {
        self.finish_within(CLOSE, recording).await
    }

    async fn finish_within(mut self, wait: Duration, recording: Recording) -> Recording {
        if !self.batch.is_empty() {
            self.hand_over();
        }
        let Self { queue, mut closed, own, recorder, listing, .. } = self;
        drop(queue);
        let closing = timeout(wait, &mut closed).await;
        let kept = match closing {
            Ok(Ok(closed)) => {
                listing.safe();
                closed.describe(recording)
            }
            late => {
                warn!(path = %own.1, "the recording's file was not closed in time");
                if late.is_err() {
                    recorder.await_closing(closed, own.clone(), recording.clone(), listing);
                }
                let problem = Some("the disk did not take the file in time".to_owned());
                Recording { state: State::Partial, path: Some(own.1), problem, ..recording }
            }
        };
        placed(&recorder.config, kept)
    }
}

/// What is known of a recording whose process dies: not yet how long it is.
fn torn(path: &str, why: &str) -> Recording {
    let nothing = Summary { duration: Duration::ZERO, pauses: Vec::new(), displaced: Duration::ZERO };
    let (path, problem) = (Some(path.to_owned()), Some(why.to_owned()));
    Recording { state: State::Partial, path, problem, ..Recording::from(nothing) }
}

/// Says where a recording is that has a file, and what opens it.
fn placed(config: &config::Recording, recording: Recording) -> Recording {
    let path = recording.path.as_ref();
    let store = config.s3.as_ref().zip(path).map(|(s3, path)| format!("s3://{}/{}", s3.bucket, s3.key(path)));
    let key_id = path.and(config.key.as_ref()).map(Key::id);
    let node = path.map(|_| config.node.clone());
    Recording { store, key_id, node, ..recording }
}

/// The record of a call whose recording is finished by this server, whoever began it: from here it goes on.
fn here(config: &config::Recording, mut record: Conversation) -> Conversation {
    record.recording = record.recording.map(|recording| {
        let key_id = recording.key_id.clone();
        Recording { key_id, ..placed(config, recording) }
    });
    record
}

/// Writes what comes until its end, or until the disk refuses.
async fn write(request: file::Request, mut batches: mpsc::Receiver<Batch>, writers: Arc<Semaphore>) -> Closed {
    let path = request.path.clone();
    let opened = on_disk(&writers, move || Tapefile::create(request)).await;
    let mut file = match opened {
        Ok(file) => file,
        Err(error) => {
            error!(%path, %error, "This call is not recorded");
            return Closed::failed(&error);
        }
    };
    let mut problem = None;
    while let Some(batch) = batches.recv().await {
        let (taken, result) = on_disk(&writers, move || {
            let result = file.write(&batch.blocks);
            (file, result)
        })
        .await;
        file = taken;
        if let Err(error) = result {
            error!(%path, %error, "The recording ends here, the call goes on");
            problem = Some(error.to_string());
            break;
        }
    }
    // From here on the call's batches are refused as nobody's.
    drop(batches);
    let closed = on_disk(&writers, move || file.close(problem)).await;
    match &closed.file {
        Some(file) => info!(path = %file.path, bytes = file.bytes, "Recorded"),
        None => error!(%path, "The recording cannot be closed: what there is of it is finished at the next start"),
    }
    closed
}

/// Runs what may block on a thread that may.
async fn on_disk<T: Send + 'static>(writers: &Semaphore, job: impl FnOnce() -> T + Send + 'static) -> T {
    // The semaphore is never closed.
    let _turn = writers.acquire().await;
    match spawn_blocking(job).await {
        Ok(done) => done,
        Err(broken) => std::panic::resume_unwind(broken.into_panic()),
    }
}
