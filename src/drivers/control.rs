//! The control socket: a Unix domain socket that only its owner may open, on which `ramal trace` and its kin ask.
mod calls;

use super::{
    admission::Admission,
    media_board::{Board, News},
    orders::{Wanted, Which as Meant, Wish},
    rtp_socket::Ports,
    sip_socket::Request,
    tap::{Look, Report, carrier},
};
use crate::{
    accounts::Known,
    call::Order,
    config::Config,
    control::{
        self, Ask, BudgetStatus, CallMedia, LONGEST_REQUEST, RecordOrder, Registered, Reply, RtpStatus, SipStatus,
        Standing, Status, TenancyStatus, VERSION,
    },
    metrics::{self, Audience},
    tenancy::limits::Limit,
    trace::{Entry, Which},
};
use sip::{RegistrationState, Transport};
use std::{
    fs, io,
    net::SocketAddr,
    os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Weak},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    sync::{Semaphore, broadcast, mpsc, oneshot},
    task::JoinHandle,
    time::timeout,
};
use tracing::{debug, warn};

/// Askers at one time; one more is closed at once.
const ASKERS: usize = 16;
/// Of those, askers who stay as long as a call or longer: the others are for who has something to say.
const STAYING: usize = 12;
/// How long an asker may take to ask, and to take what it is told.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the SIP task may take to answer.
const ANSWER: Duration = Duration::from_secs(5);
/// How long the call that is meant may take to say so.
const CALL_ANSWER: Duration = Duration::from_secs(2);
/// How long we wait after an asker that could not be accepted, mostly for want of file descriptors.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// A bound socket; its file goes when it is dropped.
#[derive(Debug)]
struct Socket {
    listener: UnixListener,
    file: File,
}

/// A file that is removed when nobody has it any more.
#[derive(Debug)]
struct File(PathBuf);

impl Drop for File {
    fn drop(&mut self) {
        // Somebody may have tidied up before.
        let _ = fs::remove_file(&self.0);
    }
}

impl Socket {
    /// Binds at the first of these places that can be had; the error is that of the last.
    fn bind(places: &[PathBuf]) -> io::Result<Self> {
        let mut result = Err(io::Error::other("no place for a control socket"));
        for place in places {
            result = bind(place).map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", place.display())));
            if result.is_ok() {
                break;
            }
        }
        result
    }

    /// Where it is.
    fn path(&self) -> &Path {
        &self.file.0
    }
}

/// The socket is made in a folder that nobody else can look into, and moved to its place once it is its owner's alone.
fn bind(place: &Path) -> io::Result<Socket> {
    if std::os::unix::net::UnixStream::connect(place).is_ok() {
        return Err(io::Error::new(io::ErrorKind::AddrInUse, "another server answers there"));
    }
    if fs::symlink_metadata(place).is_ok_and(|found| !found.file_type().is_socket()) {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is a file that is no socket"));
    }
    let mut folder = place.as_os_str().to_owned();
    folder.push(format!(".{}", std::process::id()));
    let folder = PathBuf::from(folder);
    fs::DirBuilder::new().mode(0o700).create(&folder)?;
    let made = folder.join("s");
    let bound = UnixListener::bind(&made).and_then(|listener| {
        fs::set_permissions(&made, fs::Permissions::from_mode(0o600))?;
        fs::rename(&made, place)?;
        Ok(Socket { listener, file: File(place.to_owned()) })
    });
    // Only where binding failed is anything left in it.
    let _ = fs::remove_file(&made);
    fs::remove_dir(&folder)?;
    bound
}

/// Whom the answers come from. It holds nothing that keeps the server alive.
#[derive(Debug)]
pub struct Sources {
    /// The SIP task.
    pub requests: mpsc::WeakSender<Request>,
    /// Every message that passes; the SIP task has the sender, and its end is that of the followers.
    pub messages: broadcast::WeakSender<Entry>,
    /// Calls.
    pub admission: Weak<Admission>,
    /// The configuration.
    pub config: Arc<Config>,
    /// Where the server listens, as bound: over what, and where.
    pub listeners: Vec<(Transport, SocketAddr)>,
    /// When it started.
    pub started: Instant,
}

/// Binds a socket and answers on it until the task is aborted. Where the configuration names no place and none can be
/// had, there is no task, and calls are taken all the same.
///
/// # Errors
/// The configured place cannot be had.
pub fn start(sources: Sources) -> io::Result<Option<JoinHandle<()>>> {
    let sources = Arc::new(sources);
    let config = &sources.config.control;
    let port = sources.listeners.first().map(|(_, at)| at.port()).unwrap_or_default();
    let socket = match &config.socket {
        Some(place) => Socket::bind(std::slice::from_ref(place))?,
        None => match Socket::bind(&control::places(&config.folders, port)) {
            Ok(socket) => socket,
            Err(error) => {
                warn!(%error, "no control socket: `ramal trace` and `ramal status` cannot ask this server");
                return Ok(None);
            }
        },
    };
    debug!(path = %socket.path().display(), "control socket");
    Ok(Some(tokio::spawn(run(socket, sources))))
}

async fn run(socket: Socket, sources: Arc<Sources>) {
    let (room, seats) = (Arc::new(Semaphore::new(ASKERS)), Arc::new(Semaphore::new(STAYING)));
    loop {
        let stream = match socket.listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                debug!(%error, "the control socket takes nobody");
                tokio::time::sleep(ACCEPT_AGAIN).await;
                continue;
            }
        };
        let Ok(permit) = Arc::clone(&room).try_acquire_owned() else { continue };
        let (sources, seats) = (Arc::clone(&sources), Arc::clone(&seats));
        tokio::spawn(async move {
            if let Err(error) = serve(stream, &sources, &seats).await {
                debug!(%error, "an asker went away");
            }
            drop(permit);
        });
    }
}

async fn serve(stream: UnixStream, sources: &Sources, seats: &Semaphore) -> io::Result<()> {
    let who = calls::who(&stream);
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader.take(LONGEST_REQUEST));
    let mut line = String::new();
    timeout(PATIENCE, reader.read_line(&mut line)).await??;
    let ask = match serde_json::from_str::<control::Request>(&line) {
        Ok(control::Request { version: VERSION, ask }) => ask,
        Ok(control::Request { version, .. }) => {
            let why = format!("this server speaks version {VERSION} of the control protocol, not {version}");
            return tell(&mut writer, &Reply::Refused { why }).await;
        }
        Err(error) => return tell(&mut writer, &Reply::Refused { why: format!("not understood: {error}") }).await,
    };
    let seat = matches!(ask, Ask::Follow { .. } | Ask::Listen { .. }).then(|| seats.try_acquire());
    if matches!(seat, Some(Err(_))) {
        let why = format!("{STAYING} others follow or listen: try again when one of them has gone");
        return tell(&mut writer, &Reply::Refused { why }).await;
    }
    let answered = match ask {
        Ask::Trace { call } => sources.trace(&mut writer, &call).await?,
        Ask::Follow { call } => {
            tokio::select! {
                followed = sources.follow(&mut writer, call.as_deref()) => followed?,
                // An asker says nothing more: what comes is its end.
                _ = reader.read_line(&mut line) => return Ok(()),
            }
        }
        Ask::Listen { call } => {
            tokio::select! {
                heard = sources.listen(&mut writer, &call, &who) => return tell(&mut writer, &heard?).await,
                _ = reader.read_line(&mut line) => return Ok(()),
            }
        }
        Ask::Live => sources.live(&mut writer).await?,
        Ask::Steer { call, order } => return tell(&mut writer, &sources.steer(&call, order).await).await,
        Ask::Calls => sources.calls(&mut writer).await?,
        Ask::Record { call, order } => return tell(&mut writer, &sources.record(call, order).await).await,
        Ask::Status => match sources.status().await {
            Some((status, ..)) => Some(tell(&mut writer, &Reply::Status(Box::new(status))).await?),
            None => None,
        },
        Ask::Metrics => match sources.metrics(Audience::Owner).await {
            Some(text) => Some(tell(&mut writer, &Reply::Metrics { text }).await?),
            None => None,
        },
    };
    let last = match answered {
        Some(()) => Reply::End,
        None => Reply::Refused { why: "the server is ending, or its SIP task does not answer".to_owned() },
    };
    tell(&mut writer, &last).await
}

async fn tell(writer: &mut (impl AsyncWriteExt + Unpin), reply: &Reply) -> io::Result<()> {
    let mut line = serde_json::to_vec(reply)?;
    line.push(b'\n');
    timeout(PATIENCE, writer.write_all(&line)).await?
}

impl Sources {
    /// Asks the SIP task; `None` if it is gone or stuck.
    async fn look<T>(&self, look: impl FnOnce(oneshot::Sender<T>) -> Look) -> Option<T> {
        let requests = self.requests.upgrade()?;
        let (asker, answer) = oneshot::channel();
        requests.try_send(Request::Look(look(asker))).ok()?;
        drop(requests);
        timeout(ANSWER, answer).await.ok()?.ok()
    }

    async fn trace(&self, writer: &mut (impl AsyncWriteExt + Unpin), call: &str) -> io::Result<Option<()>> {
        let which = Which::parse(call);
        let Some(found) = self.look(|asker| Look::Call(which, asker)).await else { return Ok(None) };
        // Without an answer there is no such call, or more than one; the asker knows which by the list.
        let Some(trace) = found else { return Ok(Some(())) };
        tell(writer, &Reply::Call((&trace.summary).into())).await?;
        for entry in &trace.entries {
            tell(writer, &Reply::Message(entry.into())).await?;
        }
        Ok(Some(()))
    }

    async fn calls(&self, writer: &mut (impl AsyncWriteExt + Unpin)) -> io::Result<Option<()>> {
        let Some(calls) = self.look(Look::Calls).await else { return Ok(None) };
        for call in &calls {
            tell(writer, &Reply::Call(call.into())).await?;
        }
        Ok(Some(()))
    }

    /// What is kept of the call first, then what passes, without telling anything twice.
    async fn follow(&self, writer: &mut (impl AsyncWriteExt + Unpin), call: Option<&str>) -> io::Result<Option<()>> {
        let Some(messages) = self.messages.upgrade() else { return Ok(None) };
        let mut passing = messages.subscribe();
        drop(messages);
        tell(writer, &Reply::Following).await?;
        let (mut call_id, mut told) = (None, 0);
        if let Some(call) = call {
            let which = Which::parse(call);
            let Some(found) = self.look(|asker| Look::Call(which, asker)).await else { return Ok(None) };
            for entry in found.iter().flat_map(|trace| &trace.entries) {
                tell(writer, &Reply::Message(entry.into())).await?;
                told = entry.number;
            }
            let name = found.map_or_else(|| call.into(), |trace| trace.summary.first.call_id);
            call_id = Some(name);
        }
        loop {
            let reply = match passing.recv().await {
                Ok(entry) if entry.number <= told || call_id.as_ref().is_some_and(|id| *id != entry.call_id) => {
                    continue;
                }
                Ok(entry) => Reply::Message((&entry).into()),
                Err(broadcast::error::RecvError::Lagged(messages)) => Reply::Missed { messages },
                Err(broadcast::error::RecvError::Closed) => return Ok(None),
            };
            tell(writer, &reply).await?;
        }
    }

    /// Every media thread looks whether it has the call; none answers for another.
    async fn record(&self, call: String, order: RecordOrder) -> Reply {
        let order = match order {
            RecordOrder::Pause => Order::Pause,
            RecordOrder::Resume => Order::Resume,
        };
        let (answer, mut answers) = mpsc::channel(1);
        let asked = self.admission.upgrade().map(|admission| {
            // Without any call there is nobody to take it.
            let _ =
                admission.shared.orders.send(Wish { call: Meant::Named(call), wanted: Wanted::Record(order, answer) });
        });
        if asked.is_none() {
            return Reply::Refused { why: "the server is ending".to_owned() };
        }
        let why = match timeout(CALL_ANSWER, answers.recv()).await {
            Ok(Some(true)) => return Reply::End,
            Ok(Some(false)) => "that call is not being recorded",
            Ok(None) | Err(_) => "no call has that Call-ID or conversation",
        };
        Reply::Refused { why: why.to_owned() }
    }

    /// How the server is; `None` if its SIP task is gone or stuck.
    pub(super) async fn status(&self) -> Option<(Status, Box<Report>, (metrics::Media, metrics::Waits))> {
        let report = self.look(Look::Report).await?;
        let Board { calls, ended, waits } = self.board().await?;
        let admission = self.admission.upgrade()?;
        let media = calls.into_iter().map(|(conversation, (_, quality))| CallMedia { conversation, quality });
        let status = Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            up_s: self.started.elapsed().as_secs(),
            listeners: self.listeners.iter().map(|(over, at)| format!("{} {at}", carrier(*over).as_str())).collect(),
            registrations: registrations(&admission.registrars.borrow(), &report.registrations),
            calls: admission.threads.calls() as u64,
            rtp: rtp_ports(&admission),
            providers: admission.shared.circuits.standing().into_iter().map(Into::into).collect(),
            media: media.collect(),
            poor_below_mos: admission.config.borrow().rtp.poor_below,
            tenancy: tenancy(&admission),
            sip: SipStatus::from(report.stats),
            srtp: admission.shared.unbelieved.status(),
            trace: report.kept,
        };
        Some((status, report, (ended, waits)))
    }

    /// The counts of the server, for Prometheus; `None` if its SIP task is gone or stuck.
    pub(super) async fn metrics(&self, audience: Audience) -> Option<String> {
        let (status, report, (media, waits)) = self.status().await?;
        Some(metrics::prometheus(&status, &report.messages, report.hep_lost, (&media, &waits), audience))
    }

    async fn board(&self) -> Option<Board> {
        let news = self.admission.upgrade()?.shared.board.clone();
        let (asker, board) = oneshot::channel();
        let asked = async {
            news.send(News::Look(asker)).await.ok()?;
            board.await.ok()
        };
        timeout(ANSWER, asked).await.ok()?
    }
}

fn tenancy(admission: &Admission) -> TenancyStatus {
    let (counts, money) = (admission.gate.count(), admission.till.count());
    let by_limit = Limit::ALL.iter().map(|limit| limit.as_str().to_owned()).zip(counts.refused);
    let budgets = admission.till.balances().into_iter().map(|balance| BudgetStatus {
        domain: balance.domain,
        month: balance.month.to_string(),
        limit: balance.limit.0,
        spent: balance.standing.spent.0,
        reserved: balance.standing.reserved.0,
    });
    TenancyStatus {
        refused: by_limit.chain([("budget".to_owned(), money.refused)]).collect(),
        redis: counts.redis,
        alone: counts.alone,
        out_of_money: money.ended,
        alerts: money.alerts,
        by_memory: admission.directory.stale() + money.by_memory,
        unpriced: admission.till.unpriced(),
        budgets: budgets.collect(),
    }
}

fn rtp_ports(admission: &Admission) -> RtpStatus {
    admission.ports.iter().map(Ports::standing).fold(RtpStatus::default(), |sum, of| RtpStatus {
        pairs: sum.pairs + of.pairs,
        free: sum.free + of.free,
        refused: sum.refused + of.refused,
    })
}

/// What is registered, as it stands; the endpoint does not know those whose registrar has no address yet.
fn registrations(running: &Known, standing: &[sip::Standing]) -> Vec<Registered> {
    let each = running.iter().map(|(id, registrar)| (*id, &registrar.account.registration));
    each.map(|(id, registration)| {
        let account = format!("{}@{}", registration.user, registration.domain);
        let registrar = registration.registrar.to_string();
        let known = standing.iter().find(|standing| standing.id == id);
        let (state, code, expires) = match known.map(|known| &known.state) {
            None => (Standing::Looking, None, None),
            Some(RegistrationState::Trying) => (Standing::Trying, None, None),
            Some(RegistrationState::Registered { expires }) => (Standing::Registered, Some(200), Some(*expires)),
            Some(RegistrationState::Failed { status, .. }) => (Standing::Failed, Some(*status), None),
            Some(RegistrationState::Removed) => (Standing::Removed, None, None),
        };
        let next_in_s = known.and_then(|known| known.next_in).map(|wait| wait.as_secs());
        Registered { account, registrar, state, code, expires_s: expires.map(|expires| expires.as_secs()), next_in_s }
    })
    .collect()
}
