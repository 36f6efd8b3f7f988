//! The tap on the SIP sockets: every message passes it, and whoever asks about messages asks here. It belongs to the SIP
//! task, so that no message waits for another thread or lock.
use crate::{
    metrics::Messages,
    trace::{self, Carrier, Counters, Direction, Entry, Limits, Seen, Summary, Trace, Traces, Which},
};
use sip::{Endpoint, Hop, ListenerId, Transport};
use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    time::{Instant, SystemTime, UNIX_EPOCH},
};
use tokio::sync::{broadcast, mpsc, oneshot};
use tracing::{Level, enabled, trace};
use uuid::Uuid;

/// Messages that may wait for one follower; a slow one loses the oldest and is told how many.
pub const FOLLOWED: usize = 1_024;

/// The address of a listener that there is none of.
const NOWHERE: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0));

/// What can be asked of the tap. A question whose asker is gone goes unanswered.
#[derive(Debug)]
pub enum Look {
    /// The messages of one call.
    Call(Which, oneshot::Sender<Option<Trace>>),
    /// All calls that are kept.
    Calls(oneshot::Sender<Vec<Summary>>),
    /// Counts and registrations.
    Report(oneshot::Sender<Box<Report>>),
}

/// How SIP is.
#[derive(Clone, Debug)]
pub struct Report {
    /// What the endpoint counts.
    pub stats: sip::Stats,
    /// Its registrations.
    pub registrations: Vec<sip::Standing>,
    /// What passed the sockets.
    pub messages: Messages,
    /// What is kept.
    pub kept: Counters,
    /// Messages that the HEP collector did not get.
    pub hep_lost: u64,
}

/// Counts, keeps, shows and exports messages, each if wanted.
#[derive(Debug)]
pub struct Tap {
    traces: Option<Traces>,
    followers: broadcast::Sender<Entry>,
    hep: Option<mpsc::Sender<Entry>>,
    locals: HashMap<ListenerId, SocketAddr>,
    messages: Messages,
    /// The number of the last message captured.
    last: u64,
    nameless: u64,
    hep_lost: u64,
}

impl Tap {
    /// Keeps what `limits` allow, shows it to `followers` and exports to `hep`.
    pub fn new(limits: Option<Limits>, followers: broadcast::Sender<Entry>, hep: Option<mpsc::Sender<Entry>>) -> Self {
        Self {
            traces: limits.map(Traces::new),
            followers,
            hep,
            locals: HashMap::new(),
            messages: Messages::default(),
            last: 0,
            nameless: 0,
            hep_lost: 0,
        }
    }

    /// A tap that only counts.
    pub fn closed() -> Self {
        Self::new(None, broadcast::channel(1).0, None)
    }

    /// Says where our listeners are bound.
    pub fn listen(&mut self, locals: impl Iterator<Item = (ListenerId, SocketAddr)>) {
        self.locals = locals.collect();
    }

    /// One whole message passed. What is no SIP is counted and forgotten.
    pub fn note(&mut self, direction: Direction, hop: Hop, bytes: &[u8]) {
        // A keep-alive is no message.
        if bytes.trim_ascii().is_empty() {
            return;
        }
        let Hop { listener, transport, remote } = hop;
        let carrier = carrier(transport);
        self.messages.count(carrier, direction);
        if enabled!(Level::TRACE) {
            trace!(%remote, ?transport, ?direction, "{}", trace::masked(bytes));
        }
        let followed = self.followers.receiver_count() > 0;
        if self.traces.is_none() && self.hep.is_none() && !followed {
            return;
        }
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let at = u64::try_from(since.as_micros()).unwrap_or_default();
        // A connection of ours leaves from a port of its own, but it is this listener that peers know us by.
        let local = self.locals.get(&listener).copied().unwrap_or(NOWHERE);
        let seen = Seen { at, direction, carrier, local, remote, bytes };
        let Some((entry, sniffed)) = Entry::capture(&seen, self.last + 1) else {
            self.nameless += 1;
            return;
        };
        self.last += 1;
        if let Some(hep) = &self.hep
            && hep.try_send(entry.clone()).is_err()
        {
            self.hep_lost += 1;
        }
        if followed {
            // The last follower may have gone just now.
            let _ = self.followers.send(entry.clone());
        }
        if let Some(traces) = &mut self.traces {
            traces.keep(entry, sniffed);
        }
    }

    /// Says which conversation a call became.
    pub fn name(&mut self, call_id: &str, conversation: Uuid) {
        if let Some(traces) = &mut self.traces {
            traces.name(call_id, conversation);
        }
    }

    /// Answers a question.
    pub fn look(&self, look: Look, endpoint: &Endpoint, now: Instant) {
        match look {
            Look::Call(which, asker) => drop(asker.send(self.traces.as_ref().and_then(|traces| traces.trace(&which)))),
            Look::Calls(asker) => drop(asker.send(self.traces.as_ref().map(Traces::summaries).unwrap_or_default())),
            Look::Report(asker) => drop(asker.send(Box::new(self.report(endpoint, now)))),
        }
    }

    fn report(&self, endpoint: &Endpoint, now: Instant) -> Report {
        let kept = self.traces.as_ref().map(Traces::counters).unwrap_or_default();
        Report {
            stats: endpoint.stats(),
            registrations: endpoint.registrations(now),
            messages: self.messages,
            kept: Counters { nameless: self.nameless, ..kept },
            hep_lost: self.hep_lost,
        }
    }
}

/// What a transport is in a trace.
pub(super) fn carrier(over: Transport) -> Carrier {
    match over {
        Transport::Udp => Carrier::Udp,
        Transport::Tcp => Carrier::Tcp,
        Transport::Tls => Carrier::Tls,
    }
}
