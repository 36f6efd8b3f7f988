//! An OpenAI Realtime server made for measuring: it plays a script, marks its audio, and notes what arrives and when.
mod wire;

use crate::{
    phones::Floors,
    script::{Act, Script, mark},
    speech::Voice,
    stamp::{BLOCK, Stamp},
};
use anyhow::{Context, Result, anyhow};
use nix::{
    errno::Errno,
    sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    io::ErrorKind,
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};
use tungstenite::{HandshakeError, Message, WebSocket, error::ProtocolError, protocol::WebSocketConfig};
use wire::Stream;
pub(crate) use wire::{Security, Tls};

/// The longest wait for a message: arrivals are timed by the kernel, and acts when they are done.
const LOOK: Duration = Duration::from_millis(5);
/// Connections that are looked at before acts that are due.
const READY: usize = 64;
/// How long a connection may stay without an upgrade: longer than the server keeps one that it made in advance.
const UPGRADE: Duration = Duration::from_secs(40);
/// Connections that may wait to be carried; beyond it the accepting thread waits.
const WAITING: usize = 256;

/// So many characters of a fault are told: one that quotes a message is as long as that.
const LONGEST_FAULT: usize = 160;

/// One marked packet of a phone, as it reached the provider.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Append {
    /// Phone, and the number of its packet.
    pub(crate) stamp: Stamp,
    pub(crate) at: Instant,
}

/// One thing the assistant said.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Item {
    pub(crate) connection: u16,
    pub(crate) item: u32,
    /// Just before the first audio was written.
    pub(crate) first_delta: Instant,
    /// Just before `speech_started` was written, when that cut it.
    pub(crate) cut: Option<Instant>,
    /// `audio_end_ms` of the truncation; 0 for a deletion.
    pub(crate) truncated: Option<u64>,
}

/// What the provider noted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    pub(crate) appends: Vec<Append>,
    pub(crate) items: Vec<Item>,
    pub(crate) connections: usize,
    /// Messages that were not understood, and connections that broke: there should be none.
    pub(crate) faults: Vec<String>,
}

impl Log {
    /// How many faults of each kind there were, and the first of each; a kind is what stands before the colon. "none"
    /// without any.
    pub(crate) fn kinds_of_faults(&self) -> String {
        let mut kinds: BTreeMap<&str, (usize, &str)> = BTreeMap::new();
        for fault in self.faults.iter().map(String::as_str) {
            let (kind, _) = fault.split_once(':').unwrap_or((fault, ""));
            kinds.entry(kind).or_insert((0, fault)).0 += 1;
        }
        let told = kinds.iter().map(|(kind, (count, first))| {
            let first: String = first.chars().take(LONGEST_FAULT).map(|c| if c == '\n' { ' ' } else { c }).collect();
            format!("{count} × {kind} (the first: `{first}`)")
        });
        let told: Vec<String> = told.collect();
        if told.is_empty() { "none".to_owned() } else { told.join(", ") }
    }
}

/// A running provider.
#[derive(Debug)]
pub(crate) struct Provider {
    pub(crate) address: SocketAddr,
    security: Security,
    stop: Arc<AtomicBool>,
    acceptor: thread::JoinHandle<()>,
    carrier: thread::JoinHandle<Log>,
}

impl Provider {
    /// Listens on a free port of loopback.
    pub(crate) fn start(voice: Voice, floors: Arc<Floors>, security: Security) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").context("a port for the provider")?;
        let address = listener.local_addr()?;
        let stop = Arc::new(AtomicBool::new(false));
        let (opened, waiting) = mpsc::sync_channel(WAITING);
        let (stopping, secured) = (Arc::clone(&stop), security.clone());
        let body = move || accept(&listener, &secured, &opened, &stopping);
        let acceptor = thread::Builder::new().name("provider-accept".into()).spawn(body)?;
        let epoll = Epoll::new(EpollCreateFlags::empty())?;
        let (connections, agenda) = (BTreeMap::new(), BTreeSet::new());
        let carrier = Carrier { voice, floors, epoll, connections, agenda, log: Log::default() };
        let stopping = Arc::clone(&stop);
        let body = move || carrier.run(&waiting, &stopping);
        let carrier = thread::Builder::new().name("provider".into()).spawn(body)?;
        Ok(Self { address, security, stop, acceptor, carrier })
    }

    /// Where it is to be found.
    pub(crate) fn url(&self) -> String {
        format!("{}://{}/v1/realtime", self.security.scheme(), self.address)
    }

    /// The certificate by which it is trusted, if it has one.
    pub(crate) fn ca_file(&self) -> Option<&Path> {
        match &self.security {
            Security::Plain => None,
            Security::Tls(tls) => Some(&tls.ca_file),
        }
    }

    /// Ends it and gives what it noted.
    pub(crate) fn stop(self) -> Result<Log> {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the acceptor; whether it gets through does not matter, then it is awake already.
        drop(TcpStream::connect(self.address));
        self.acceptor.join().map_err(|_| anyhow!("the accepting thread panicked"))?;
        self.carrier.join().map_err(|_| anyhow!("the provider's thread panicked"))
    }
}

type Opened = Result<WebSocket<Stream>, String>;

fn accept(listener: &TcpListener, security: &Security, opened: &mpsc::SyncSender<Opened>, stop: &AtomicBool) {
    while let Ok((stream, _)) = listener.accept() {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        // A connection made in advance asks for nothing yet, and holds no other up.
        let (security, opened) = (security.clone(), opened.clone());
        let body = move || {
            if let Some(result) = upgrade(stream, &security).transpose() {
                let _ = opened.send(result.map_err(|error| format!("{error:#}")));
            }
        };
        drop(thread::Builder::new().name("provider-upgrade".into()).spawn(body));
    }
}

/// Nothing where the connection was made in advance, and not needed.
fn upgrade(stream: TcpStream, security: &Security) -> Result<Option<WebSocket<Stream>>> {
    stream.set_read_timeout(Some(UPGRADE))?;
    let config = WebSocketConfig::default().read_buffer_size(16 << 10).write_buffer_size(0);
    let socket = match tungstenite::accept_with_config(security.take(stream)?, Some(config)) {
        Err(HandshakeError::Interrupted(_)) => return Ok(None),
        Err(HandshakeError::Failure(tungstenite::Error::Protocol(ProtocolError::HandshakeIncomplete))) => {
            return Ok(None);
        }
        // Whoever closes it has not read the tickets of the TLS session: then it is reset.
        Err(HandshakeError::Failure(tungstenite::Error::Io(error)))
            if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) =>
        {
            return Ok(None);
        }
        other => other.map_err(|error| anyhow!("upgrade: {error}"))?,
    };
    socket.get_ref().socket().set_nonblocking(true)?;
    Ok(Some(socket))
}

#[derive(Debug)]
struct Connection {
    id: u16,
    socket: WebSocket<Stream>,
    /// Known from the first marked packet.
    phone: Option<u16>,
    /// From `session.updated` on.
    script: Option<Script>,
    /// The response being made.
    active: Option<u32>,
    /// Turns of the caller.
    turns: u32,
}

impl Connection {
    /// When its script goes on.
    fn due(&self) -> Option<Instant> {
        self.script.as_ref().map(Script::due)
    }
}

/// A client event, as far as it is looked at.
#[derive(Deserialize)]
struct ClientEvent<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(default, borrow)]
    audio: Cow<'a, str>,
    #[serde(default, borrow)]
    item_id: Cow<'a, str>,
    #[serde(default)]
    audio_end_ms: u64,
    #[serde(default)]
    session: Value,
}

struct Carrier {
    voice: Voice,
    floors: Arc<Floors>,
    epoll: Epoll,
    /// Those that are open, in the order in which they came.
    connections: BTreeMap<u64, Connection>,
    /// When the script of each goes on: what is next is known without a look at all of them.
    agenda: BTreeSet<(Instant, u64)>,
    log: Log,
}

impl Carrier {
    fn run(mut self, waiting: &mpsc::Receiver<Opened>, stop: &AtomicBool) -> Log {
        let mut ready = [EpollEvent::empty(); READY];
        while !stop.load(Ordering::Relaxed) {
            while let Ok(opened) = waiting.try_recv() {
                if let Err(error) = self.welcome(opened) {
                    self.log.faults.push(format!("{error:#}"));
                }
            }
            let wait = self.next_due().saturating_duration_since(Instant::now()).min(LOOK);
            let count = match self.epoll.wait(&mut ready, timeout(wait)) {
                Ok(count) => count,
                Err(Errno::EINTR) => 0,
                Err(error) => {
                    self.log.faults.push(format!("epoll: {error}"));
                    return self.log;
                }
            };
            for event in ready.iter().take(count) {
                self.with(event.data(), Self::read);
            }
            let now = Instant::now();
            while let Some(&(due, number)) = self.agenda.first().filter(|(due, _)| *due <= now) {
                self.agenda.remove(&(due, number));
                self.with(number, |carrier, connection| carrier.act(connection, now));
            }
        }
        self.log
    }

    fn next_due(&self) -> Instant {
        self.agenda.first().map_or_else(|| Instant::now() + LOOK, |(due, _)| *due)
    }

    fn welcome(&mut self, opened: Opened) -> Result<()> {
        let socket = opened.map_err(|why| anyhow!(why))?;
        let number = self.log.connections as u64;
        // Marks have room for no more; only calls that speak are marked, and of those there are few.
        let id = number as u16;
        self.epoll.add(socket.get_ref(), EpollEvent::new(EpollFlags::EPOLLIN, number))?;
        let mut connection = Connection { id, socket, phone: None, script: None, active: None, turns: 0 };
        say(&mut connection, &json!({"type": "session.created", "session": {"id": format!("sess_{id}")}}));
        self.connections.insert(number, connection);
        self.log.connections += 1;
        Ok(())
    }

    /// Takes a connection out for `work`, and puts it back, with when its script goes on, unless it is over.
    fn with(&mut self, number: u64, work: impl FnOnce(&mut Self, &mut Connection) -> bool) {
        let Some(mut connection) = self.connections.remove(&number) else { return };
        if let Some(due) = connection.due() {
            self.agenda.remove(&(due, number));
        }
        if work(self, &mut connection) {
            self.agenda.extend(connection.due().map(|due| (due, number)));
            self.connections.insert(number, connection);
        }
    }

    /// Reads all there is; false when the connection is over.
    fn read(&mut self, connection: &mut Connection) -> bool {
        loop {
            match connection.socket.read() {
                Ok(Message::Text(text)) => self.on_event(connection, text.as_str()),
                Ok(Message::Close(_)) => {}
                Ok(Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => {}
                Err(tungstenite::Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => return true,
                // The client closes without waiting for our close frame, which is its right at the end of a call.
                Err(_) => return false,
            }
        }
    }

    /// Does all that is due.
    fn act(&mut self, connection: &mut Connection, now: Instant) -> bool {
        while let Some(act) = connection.script.as_mut().and_then(|script| script.next(now)) {
            self.perform(connection, act);
        }
        true
    }

    fn on_event(&mut self, connection: &mut Connection, text: &str) {
        let Ok(event) = serde_json::from_str::<ClientEvent<'_>>(text) else {
            return self.log.faults.push(format!("not understood: {text}"));
        };
        match &*event.kind {
            "input_audio_buffer.append" => self.on_audio(connection, &event.audio),
            "session.update" => {
                say(connection, &json!({"type": "session.updated", "session": event.session}));
                let seed = u64::from(connection.id) + 1;
                connection.script.get_or_insert_with(|| Script::new(seed, Instant::now()));
            }
            "conversation.item.truncate" => {
                self.forgotten(connection.id, &event.item_id, event.audio_end_ms);
                let reply = json!({"type": "conversation.item.truncated", "item_id": event.item_id,
                    "content_index": 0, "audio_end_ms": event.audio_end_ms});
                say(connection, &reply);
            }
            "conversation.item.delete" => {
                self.forgotten(connection.id, &event.item_id, 0);
                say(connection, &json!({"type": "conversation.item.deleted", "item_id": event.item_id}));
            }
            // The script has cancelled it already, as a server with interrupt_response does.
            "response.cancel" => {
                let error = json!({"type": "invalid_request_error", "code": "response_cancel_not_active",
                    "message": "Cancellation failed: no active response found", "param": null, "event_id": null});
                say(connection, &json!({"type": "error", "error": error}));
            }
            kind => self.log.faults.push(format!("not expected: {kind}")),
        }
    }

    fn on_audio(&mut self, connection: &mut Connection, audio: &str) {
        let at = connection.socket.get_ref().last();
        let Ok(bytes) = base64_simd::STANDARD.decode_to_vec(audio.as_bytes()) else {
            return self.log.faults.push("audio that is not base64".into());
        };
        for stamp in bytes.chunks_exact(BLOCK).filter_map(Stamp::read) {
            connection.phone = Some(stamp.source);
            self.log.appends.push(Append { stamp, at });
        }
    }

    fn forgotten(&mut self, connection: u16, item_id: &str, heard_ms: u64) {
        let number: Option<u32> = item_id.rsplit('_').next().and_then(|number| number.parse().ok());
        let known = |item: &&mut Item| item.connection == connection && Some(item.item) == number;
        match self.log.items.iter_mut().rev().find(known) {
            Some(item) => item.truncated = Some(heard_ms),
            None => self.log.faults.push(format!("an unknown item: {item_id}")),
        }
    }

    fn perform(&mut self, connection: &mut Connection, act: Act) {
        let id = connection.id;
        match act {
            Act::Begin { item } => {
                connection.active = Some(item);
                let response = format!("resp_{id}_{item}");
                say(
                    connection,
                    &json!({"type": "response.created", "response": {"id": response, "status": "in_progress"}}),
                );
                let described = json!({"id": format!("item_{id}_{item}"), "type": "message", "role": "assistant"});
                let added = json!({"type": "response.output_item.added", "response_id": response, "item": described});
                say(connection, &added);
            }
            Act::Deliver { item, first, blocks } => {
                let delta = self.delta(id, item, first, blocks);
                if first == 0 {
                    let first_delta = Instant::now();
                    self.log.items.push(Item { connection: id, item, first_delta, cut: None, truncated: None });
                }
                send(connection, delta);
            }
            Act::Complete { item } => done(connection, item, "completed"),
            Act::Hear { cuts, until } => {
                connection.turns += 1;
                let started = json!({"type": "input_audio_buffer.speech_started", "audio_start_ms": 0,
                    "item_id": format!("caller_{id}_{}", connection.turns)});
                let known = |one: &&mut Item| one.connection == id && Some(one.item) == cuts;
                if let Some(item) = self.log.items.iter_mut().rev().find(known) {
                    item.cut = Some(Instant::now());
                }
                say(connection, &started);
                if let Some(item) = connection.active {
                    done(connection, item, "cancelled");
                }
                if let Some(phone) = connection.phone {
                    self.floors.give(phone, until);
                }
            }
            Act::Heard => {
                let caller = format!("caller_{id}_{}", connection.turns);
                let stopped =
                    json!({"type": "input_audio_buffer.speech_stopped", "audio_end_ms": 0, "item_id": caller});
                say(connection, &stopped);
                say(connection, &json!({"type": "input_audio_buffer.committed", "item_id": caller}));
                // What nobody wrote down would be kept by the server, as sound.
                let written = json!({"type": "conversation.item.input_audio_transcription.completed", "item_id": caller,
                    "content_index": 0, "transcript": "What does it cost?"});
                say(connection, &written);
            }
        }
    }

    /// Built by hand: a fifth of a second of marked speech, base64.
    fn delta(&self, connection: u16, item: u32, first: u32, blocks: u32) -> String {
        let mut audio = Vec::with_capacity(BLOCK * blocks as usize);
        for block in first..first + blocks {
            let start = audio.len();
            audio.extend_from_slice(self.voice.block((item * 40 + block) as usize + usize::from(connection) * 30));
            let stamp = Stamp { source: connection, number: mark(item, block) };
            stamp.write(audio.get_mut(start..).unwrap_or_default());
        }
        let audio = base64_simd::STANDARD.encode_to_string(audio);
        format!(
            r#"{{"type":"response.output_audio.delta","event_id":"event_1","response_id":"resp_{connection}_{item}","item_id":"item_{connection}_{item}","output_index":0,"content_index":0,"delta":"{audio}"}}"#
        )
    }
}

/// In whole milliseconds, as epoll counts, and never less than `wait`: this thread would ask again and again until the
/// moment has come, on a core that the server could have used.
fn timeout(wait: Duration) -> EpollTimeout {
    let up = wait.as_micros().div_ceil(1_000);
    u16::try_from(up).map_or(EpollTimeout::ZERO, EpollTimeout::from)
}

fn done(connection: &mut Connection, item: u32, status: &str) {
    connection.active = None;
    let (response, id) = (format!("resp_{}_{item}", connection.id), format!("item_{}_{item}", connection.id));
    say(connection, &json!({"type": "response.output_audio.done", "response_id": response, "item_id": id}));
    // It costs something, so that sums of money can be compared.
    let usage = json!({"total_tokens": 90, "input_tokens": 60, "output_tokens": 30,
        "input_token_details": {"text_tokens": 40, "audio_tokens": 20, "cached_tokens": 0},
        "output_token_details": {"text_tokens": 10, "audio_tokens": 20}});
    let response = json!({"id": response, "status": status, "status_details": null, "output": [], "usage": usage});
    say(connection, &json!({"type": "response.done", "response": response}));
}

fn say(connection: &mut Connection, event: &Value) {
    send(connection, event.to_string());
}

/// A connection that takes nothing more keeps it in its buffer; one that broke is noticed at its next read.
fn send(connection: &mut Connection, text: String) {
    let _ = connection.socket.send(Message::text(text));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(socket: &mut WebSocket<TcpStream>) -> Value {
        loop {
            if let Message::Text(text) = socket.read().unwrap() {
                return serde_json::from_str(text.as_str()).unwrap();
            }
        }
    }

    #[test]
    fn a_client_is_spoken_to_and_what_it_does_is_noted() {
        let speech = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/speech");
        let voice = Voice::load(&speech, "en-piper").unwrap();
        let provider = Provider::start(voice, Arc::new(Floors::new(1)), Security::Plain).unwrap();
        let stream = TcpStream::connect(provider.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let url = format!("ws://{}/v1/realtime", provider.address);
        let (mut socket, _) = tungstenite::client(url, stream).unwrap();
        assert_eq!(next(&mut socket)["type"], "session.created");
        socket.send(Message::text(r#"{"type":"session.update","session":{"type":"realtime"}}"#)).unwrap();
        assert_eq!(next(&mut socket)["type"], "session.updated");
        let mut block = [0xff; BLOCK];
        let stamp = Stamp { source: 0, number: 5 };
        stamp.write(&mut block);
        let audio = base64_simd::STANDARD.encode_to_string(block);
        let append = format!(r#"{{"type":"input_audio_buffer.append","audio":"{audio}"}}"#);
        socket.send(Message::text(append)).unwrap();
        let delta = loop {
            let event = next(&mut socket);
            if event["type"] == "response.output_audio.delta" {
                break event;
            }
        };
        let audio = base64_simd::STANDARD.decode_to_vec(delta["delta"].as_str().unwrap()).unwrap();
        assert_eq!(Stamp::read(&audio[BLOCK..]), Some(Stamp { source: 0, number: mark(0, 1) }));
        let truncate =
            r#"{"type":"conversation.item.truncate","item_id":"item_0_0","content_index":0,"audio_end_ms":60}"#;
        socket.send(Message::text(truncate)).unwrap();
        while next(&mut socket)["type"] != "conversation.item.truncated" {}
        let log = provider.stop().unwrap();
        assert_eq!(log.appends.iter().map(|append| append.stamp).collect::<Vec<_>>(), [stamp]);
        assert_eq!(log.items.iter().map(|item| item.truncated).collect::<Vec<_>>(), [Some(60)]);
        assert_eq!(log.faults, Vec::<String>::new());
    }

    #[test]
    fn faults_are_told_by_kind_with_the_first_of_each() {
        let faults = ["upgrade: one\nline", "an unknown item: item_3_1", "upgrade: two", "audio that is not base64"];
        let log = Log { faults: faults.map(str::to_owned).to_vec(), ..Log::default() };
        assert_eq!(
            log.kinds_of_faults(),
            "1 × an unknown item (the first: `an unknown item: item_3_1`), 1 × audio that is not base64 (the first: \
             `audio that is not base64`), 2 × upgrade (the first: `upgrade: one line`)"
        );
        assert_eq!(Log::default().kinds_of_faults(), "none");
    }
}
