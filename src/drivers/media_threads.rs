//! The media threads: each runs a single-threaded runtime; a call is placed on one and never moves.
use super::{
    call_task::{self, NewCall, Thread},
    orders::Wish,
    spares::Spares,
};
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
use tokio::{
    runtime,
    sync::{broadcast, mpsc, watch},
    task::LocalSet,
};
use tracing::{debug, warn};
use uuid::Uuid;

/// Calls that may wait for their thread; a full queue means the thread is stuck, and the call is refused.
const QUEUE: usize = 256;

/// Orders that may wait for one call; another is not carried out, and whoever gave it is told.
const ORDERS: usize = 4;

/// How often a thread is asked whether it keeps up.
const LOOK: Duration = Duration::from_millis(250);

/// All media threads.
#[derive(Debug)]
pub struct MediaThreads {
    threads: Vec<MediaThread>,
}

#[derive(Debug)]
struct MediaThread {
    queue: mpsc::Sender<Box<NewCall>>,
    calls: Arc<AtomicUsize>,
}

/// A place among a thread's calls; given back when it is dropped.
#[derive(Debug)]
pub struct Seat(pub(super) Arc<AtomicUsize>);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl MediaThreads {
    /// Starts `count` threads named `media-0`, `media-1`, …. They pass `orders` on to the calls they are for, and tell
    /// all calls when `stop` turns true.
    ///
    /// # Errors
    /// The system gives no more threads.
    pub fn start(count: usize, orders: &broadcast::Sender<Wish>, stop: &watch::Receiver<bool>) -> io::Result<Self> {
        let threads = (0..count.max(1))
            .map(|number| start(number, orders.subscribe(), stop.clone()))
            .collect::<io::Result<_>>()?;
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
        thread.queue.try_send(Box::new(call)).map_err(|refused| {
            thread.calls.fetch_sub(1, Ordering::Relaxed);
            refused.into_inner()
        })
    }

    /// Calls on all threads.
    pub fn calls(&self) -> usize {
        self.threads.iter().map(|thread| thread.calls.load(Ordering::Relaxed)).sum()
    }
}

fn start(number: usize, orders: broadcast::Receiver<Wish>, stop: watch::Receiver<bool>) -> io::Result<MediaThread> {
    let (queue, to_come) = mpsc::channel::<Box<NewCall>>(QUEUE);
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&calls);
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let body = move || {
        let (local, room) = (LocalSet::new(), Rc::new(Cell::new(Room::default())));
        let running = Running { calls: Some(Vec::new()), room: Rc::clone(&room), spares: Spares::default(), counter };
        local.spawn_local(running.run(to_come, orders, stop));
        runtime.block_on(async {
            tokio::select! {
                () = local => {}
                () = look(&room) => {}
            }
        });
    };
    thread::Builder::new().name(format!("media-{number}")).spawn(body)?;
    Ok(MediaThread { queue, calls })
}

/// The calls of one thread, for what concerns them from outside: a call listens to its thread alone, so that none pays
/// on every packet for what is said to another.
struct Running {
    /// Nothing once the server stops: a call whose orders are closed ends.
    calls: Option<Vec<Reached>>,
    room: Rc<Cell<Room>>,
    spares: Spares,
    counter: Arc<AtomicUsize>,
}

/// A call, by its names.
struct Reached {
    call_id: String,
    conversation: Uuid,
    orders: mpsc::Sender<Box<Wish>>,
}

impl Running {
    /// Takes calls until nobody can place any; what still runs then, ends.
    async fn run(
        mut self,
        mut to_come: mpsc::Receiver<Box<NewCall>>,
        mut orders: broadcast::Receiver<Wish>,
        mut stop: watch::Receiver<bool>,
    ) {
        loop {
            tokio::select! {
                call = to_come.recv() => match call {
                    Some(call) => self.begin(*call),
                    None => return,
                },
                order = orders.recv() => match order {
                    Ok(order) => self.pass_on(order),
                    Err(broadcast::error::RecvError::Lagged(lost)) => warn!(lost, "Orders to calls were lost"),
                    Err(broadcast::error::RecvError::Closed) => return,
                },
                _ = stop.wait_for(|stopping| *stopping), if self.calls.is_some() => self.calls = None,
            }
        }
    }

    fn begin(&mut self, call: NewCall) {
        let (orders, orders_of_call) = mpsc::channel(ORDERS);
        if let Some(calls) = &mut self.calls {
            calls.retain(|call| !call.orders.is_closed());
            let (call_id, conversation) = (call.facts.invite.call_id.clone(), call.facts.conversation_uuid);
            calls.push(Reached { call_id, conversation, orders });
        }
        let (room, spares) = (Rc::clone(&self.room), self.spares.clone());
        let thread = Thread { room, spares, orders: orders_of_call, seat: Seat(Arc::clone(&self.counter)) };
        tokio::task::spawn_local(call_task::begin(call, thread));
    }

    /// Whoever gave the order hears nothing from a thread that does not have the call.
    fn pass_on(&self, order: Wish) {
        let Some(calls) = &self.calls else { return };
        let meant = |call: &&Reached| order.call.is(&call.call_id, call.conversation);
        if let Some(call) = calls.iter().find(meant) {
            // Full or over: the answer's sender is dropped, which is an answer.
            let _ = call.orders.try_send(Box::new(order));
        }
    }
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
