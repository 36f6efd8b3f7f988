//! The media threads: each runs a single-threaded runtime; a call is placed on one and never moves.
use super::call_task::{self, NewCall};
use crate::call::Room;
use std::{
    cell::Cell,
    io,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use tokio::{runtime, sync::mpsc, task::LocalSet};
use tracing::debug;

/// Calls that may wait for their thread; a full queue means the thread is stuck, and the call is refused.
const QUEUE: usize = 256;

/// How often a thread is asked whether it keeps up.
const LOOK: Duration = Duration::from_millis(250);

/// All media threads.
#[derive(Debug)]
pub struct MediaThreads {
    threads: Vec<MediaThread>,
}

#[derive(Debug)]
struct MediaThread {
    queue: mpsc::Sender<NewCall>,
    calls: Arc<AtomicUsize>,
    handle: thread::JoinHandle<()>,
}

impl MediaThreads {
    /// Starts `count` threads named `media-0`, `media-1`, ….
    ///
    /// # Errors
    /// The system gives no more threads.
    pub fn start(count: usize) -> io::Result<Self> {
        let threads = (0..count.max(1)).map(start).collect::<io::Result<_>>()?;
        Ok(Self { threads })
    }

    /// Places a call on the thread with the fewest, or gives it back if that thread's queue is full.
    ///
    /// # Errors
    /// The call itself.
    pub fn place(&self, call: NewCall) -> Result<(), Box<NewCall>> {
        let Some(thread) = self.threads.iter().min_by_key(|thread| thread.calls.load(Ordering::Relaxed)) else {
            return Err(Box::new(call));
        };
        thread.calls.fetch_add(1, Ordering::Relaxed);
        thread.queue.try_send(call).map_err(|refused| {
            thread.calls.fetch_sub(1, Ordering::Relaxed);
            Box::new(refused.into_inner())
        })
    }

    /// Calls on all threads.
    pub fn calls(&self) -> usize {
        self.threads.iter().map(|thread| thread.calls.load(Ordering::Relaxed)).sum()
    }

    /// Takes no more calls and waits for the last to end.
    pub fn join(self) {
        for MediaThread { queue, handle, .. } in self.threads {
            drop(queue);
            if handle.join().is_err() {
                tracing::error!("a media thread panicked");
            }
        }
    }
}

/// Runs one call to its end, and counts it off.
async fn run(call: NewCall, calls: Arc<AtomicUsize>, room: Rc<Cell<Room>>) {
    call_task::run(call, room).await;
    calls.fetch_sub(1, Ordering::Relaxed);
}

fn start(number: usize) -> io::Result<MediaThread> {
    let (queue, mut calls_to_come) = mpsc::channel::<NewCall>(QUEUE);
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&calls);
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let body = move || {
        let (local, room) = (LocalSet::new(), Rc::new(Cell::new(Room::default())));
        let seen = Rc::clone(&room);
        local.spawn_local(async move {
            while let Some(call) = calls_to_come.recv().await {
                tokio::task::spawn_local(run(call, Arc::clone(&counter), Rc::clone(&seen)));
            }
        });
        runtime.block_on(async {
            tokio::select! {
                () = local => {}
                () = look(&room) => {}
            }
        });
    };
    let handle = thread::Builder::new().name(format!("media-{number}")).spawn(body)?;
    Ok(MediaThread { queue, calls, handle })
}

/// Tells the calls of this thread, for ever, whether it keeps up: by the share of time it did not wait for anything.
async fn look(room: &Cell<Room>) {
    let metrics = runtime::Handle::current().metrics();
    let busy = || metrics.worker_total_busy_duration(0);
    let (mut before, mut since) = (busy(), Instant::now());
    loop {
        tokio::time::sleep(LOOK).await;
        let (now, elapsed) = (busy(), since.elapsed());
        let share = now.saturating_sub(before).as_secs_f64() / elapsed.as_secs_f64();
        let next = room.get().after(share);
        if next != room.replace(next) {
            debug!(room = ?next, busy_percent = share * 100.0, "Uplink");
        }
        (before, since) = (now, Instant::now());
    }
}
