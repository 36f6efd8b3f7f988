//! The words of the control socket: one JSON object a line, a request in, replies out until the last.
//!
//! PURE: what is asked and told, and where the socket may be. The sockets themselves are the drivers'.
use crate::{
    breaker::{self, State},
    call::steer,
    config::Environment,
    record::MediaQuality,
    switchboard::LiveCall,
    trace::{Carrier, Counters, Direction, Entry, Progress, Summary},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf};
use uuid::Uuid;

/// Of the words below. A server refuses a request of another version, and says which it speaks.
pub const VERSION: u32 = 1;
/// Longest request, in bytes.
pub const LONGEST_REQUEST: u64 = 4_096;

/// A request as it is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// [`VERSION`].
    pub version: u32,
    /// What is asked.
    #[serde(flatten)]
    pub ask: Ask,
}

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "lowercase")]
pub enum Ask {
    /// The messages of one call: [`Reply::Call`], then one [`Reply::Message`] each.
    Trace {
        /// Its Call-ID or conversation, or how either begins; `last` for the newest.
        call: String,
    },
    /// Messages as they pass, until the asker goes: [`Reply::Following`], then one [`Reply::Message`] each.
    Follow {
        /// Only those of this Call-ID; those it has so far come first.
        call: Option<String>,
    },
    /// All that is kept: one [`Reply::Call`] each, in the order they began.
    Calls,
    /// A recording shall pause, or go on: [`Reply::End`] when it does.
    Record {
        /// Its call, by conversation or Call-ID.
        call: String,
        /// What is wanted.
        order: RecordOrder,
    },
    /// The calls that are up: one [`Reply::Live`] each, in the order they began.
    Live,
    /// A call shall end, or go elsewhere: [`Reply::End`] when it does.
    Steer {
        /// Its conversation, or how that begins.
        call: String,
        /// What is wanted.
        order: steer::Order,
    },
    /// What a call sounds like, until it is over or the asker goes: [`Reply::Listening`], then [`Reply::Heard`].
    Listen {
        /// Its conversation, or how that begins.
        call: String,
    },
    /// How the server is: one [`Reply::Status`].
    Status,
    /// The same for a machine: one [`Reply::Metrics`].
    Metrics,
}

/// What a recording is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RecordOrder {
    /// Nothing is recorded until it is told to go on.
    Pause,
    /// It goes on.
    Resume,
}

/// What is told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "told", rename_all = "lowercase")]
pub enum Reply {
    /// About a call.
    Call(CallLine),
    /// A message.
    Message(MessageLine),
    /// From here on nothing that passes is missed.
    Following,
    /// The asker was too slow for so many messages.
    Missed {
        /// How many.
        messages: u64,
    },
    /// A call that is up.
    Live(Box<LiveCall>),
    /// From here on the call is heard.
    Listening {
        /// Its conversation.
        conversation: Uuid,
        /// Frames a second.
        rate: u32,
    },
    /// A piece of a call.
    Heard {
        /// Frames before it that the asker was too slow for.
        missed: u64,
        /// 16-bit little-endian samples, the caller on the left and the assistant on the right, in base64.
        base64: String,
    },
    /// How the server is.
    Status(Box<Status>),
    /// Prometheus text.
    Metrics {
        /// All of it.
        text: String,
    },
    /// Nothing follows.
    End,
    /// Nothing follows, because.
    Refused {
        /// For a person.
        why: String,
    },
}

/// A call without its messages but the first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallLine {
    /// Its conversation in the database, if it became one.
    pub conversation: Option<Uuid>,
    /// How far it came.
    pub progress: Progress,
    /// What it began with.
    pub first: MessageLine,
    /// When the last message passed, in microseconds since 1970.
    pub last_at_us: u64,
    /// Messages kept.
    pub messages: usize,
    /// Messages not kept, from the middle.
    pub dropped: u64,
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageLine {
    /// Rises with every message.
    pub number: u64,
    /// Microseconds since 1970.
    pub at_us: u64,
    /// `in` or `out`.
    pub direction: Direction,
    /// Over what.
    pub transport: Carrier,
    /// Our end.
    pub local: SocketAddr,
    /// Their end.
    pub remote: SocketAddr,
    /// Its Call-ID.
    pub call_id: String,
    /// Its bytes in base64: not every message is text.
    pub base64: String,
}

impl From<&Entry> for MessageLine {
    fn from(entry: &Entry) -> Self {
        Self {
            number: entry.number,
            at_us: entry.at,
            direction: entry.direction,
            transport: entry.carrier,
            local: entry.local,
            remote: entry.remote,
            call_id: entry.call_id.to_string(),
            base64: base64_simd::STANDARD.encode_to_string(&*entry.bytes),
        }
    }
}

impl From<MessageLine> for Entry {
    /// What is no base64 becomes an empty message.
    fn from(line: MessageLine) -> Self {
        Self {
            number: line.number,
            at: line.at_us,
            direction: line.direction,
            carrier: line.transport,
            local: line.local,
            remote: line.remote,
            call_id: line.call_id.into(),
            bytes: base64_simd::STANDARD.decode_to_vec(line.base64).unwrap_or_default().into(),
        }
    }
}

impl From<&Summary> for CallLine {
    fn from(summary: &Summary) -> Self {
        Self {
            conversation: summary.conversation,
            progress: summary.progress,
            first: (&summary.first).into(),
            last_at_us: summary.last_at,
            messages: summary.messages,
            dropped: summary.dropped,
        }
    }
}

impl From<CallLine> for Summary {
    fn from(line: CallLine) -> Self {
        Self {
            conversation: line.conversation,
            progress: line.progress,
            first: line.first.into(),
            last_at: line.last_at_us,
            messages: line.messages,
            dropped: line.dropped,
        }
    }
}

/// How a server is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Of the program.
    pub version: String,
    /// Seconds since its start.
    pub up_s: u64,
    /// Where it listens: `udp 192.0.2.1:5060`.
    pub listeners: Vec<String>,
    /// Its registrations, in the order of the configuration.
    pub registrations: Vec<Registered>,
    /// Calls with a secretary at this moment.
    pub calls: u64,
    /// RTP ports.
    pub rtp: RtpStatus,
    /// Providers that calls have tried.
    #[serde(default)]
    pub providers: Vec<ProviderStatus>,
    /// How calls sound that have been measured.
    pub media: Vec<CallMedia>,
    /// A mean opinion score below is poor (`rtp.poor_below_mos`).
    #[serde(default)]
    pub poor_below_mos: f64,
    /// Limits and budgets.
    #[serde(default)]
    pub tenancy: TenancyStatus,
    /// SIP.
    pub sip: SipStatus,
    /// SRTP.
    pub srtp: SrtpStatus,
    /// What is kept for `ramal trace`.
    pub trace: Counters,
}

/// What holds calls back, and how often it did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TenancyStatus {
    /// Calls refused, by limit.
    pub refused: BTreeMap<String, u64>,
    /// Whether the Redis answers that limits are shared through; `None` without one.
    pub redis: Option<bool>,
    /// Calls let in by the limits of this server alone, since Redis did not answer.
    pub alone: u64,
    /// Calls ended for want of money.
    pub out_of_money: u64,
    /// Budgets of which somebody was told that they are nearly spent.
    pub alerts: u64,
    /// Questions about secretary, tenant or budget that were answered by what was known, since the database was away.
    #[serde(default)]
    pub by_memory: u64,
    /// Models without a price, and how many calls might have had them.
    #[serde(default)]
    pub unpriced: BTreeMap<String, u64>,
    /// Budgets of tenants that had a call.
    pub budgets: Vec<BudgetStatus>,
}

/// How the budget of a tenant stands, in micro-dollars.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetStatus {
    /// The tenant's name.
    pub domain: String,
    /// `2026-11`.
    pub month: String,
    /// What may be spent.
    pub limit: u64,
    /// What is.
    pub spent: u64,
    /// What calls that are up may spend beyond that.
    pub reserved: u64,
}

/// Packets of calls that were not believed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SrtpStatus {
    /// That no holder of the key made.
    pub unauthentic: u64,
    /// That were there before.
    pub replayed: u64,
}

/// The RTP ports of all addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RtpStatus {
    /// Pairs of ports.
    pub pairs: u64,
    /// Pairs that no call has.
    pub free: u64,
    /// Calls refused because there was none.
    pub refused: u64,
}

/// Whether a server does what it should, for `GET /health`, which anybody may read: no tenant is named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// `ok`, or `degraded` where calls begin with another provider than they should.
    pub status: String,
    /// Of the program.
    pub version: String,
    /// Seconds since its start.
    pub up_s: u64,
    /// Calls with a secretary at this moment.
    pub calls: u64,
    /// Providers that calls have tried with the server's own keys.
    pub providers: Vec<ProviderStatus>,
}

impl From<Status> for Health {
    fn from(status: Status) -> Self {
        let Status { version, up_s, calls, providers, .. } = status;
        // A tenant's own key is for the tenant to mend, and who has one is nobody's business here.
        let providers: Vec<_> = providers.into_iter().filter(|provider| provider.key_of.is_none()).collect();
        let degraded = providers.iter().any(|provider| provider.open_for_s.is_some());
        let status = if degraded { "degraded" } else { "ok" }.to_owned();
        Self { status, version, up_s, calls, providers }
    }
}

/// How calls with a provider went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderStatus {
    /// As in the `realtime_provider` column.
    pub provider: String,
    /// Its host.
    pub at: String,
    /// The tenant whose own key these calls have; `None` for the server's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_of: Option<String>,
    /// Whether calls begin there.
    pub state: State,
    /// Conversations that became ready.
    pub ready: u64,
    /// Failures by kind.
    pub failures: BTreeMap<String, u64>,
    /// How long calls will not begin there, unless one that tries it brings better news.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_for_s: Option<u64>,
}

impl From<breaker::Standing> for ProviderStatus {
    fn from(standing: breaker::Standing) -> Self {
        let breaker::Standing { circuit, state, ready, failures, open_for } = standing;
        Self {
            provider: circuit.provider.to_owned(),
            at: circuit.at,
            key_of: circuit.key_of,
            state,
            ready,
            failures: failures.into_iter().map(|(kind, count)| (kind.as_str().to_owned(), count)).collect(),
            open_for_s: open_for.map(|left| left.as_secs()),
        }
    }
}

/// How a call sounds that is up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CallMedia {
    /// Its conversation in the database.
    pub conversation: Uuid,
    /// What was measured.
    #[serde(flatten)]
    pub quality: MediaQuality,
}

/// What the SIP core counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SipStatus {
    /// Legs of calls at this moment.
    pub legs: u64,
    /// Transactions at this moment.
    pub transactions: u64,
    /// Messages read.
    pub received: u64,
    /// Messages that could not be read.
    pub parse_errors: u64,
    /// Messages sent again.
    pub retransmissions: u64,
    /// Requests that came again.
    pub repeated_requests: u64,
    /// Requests refused before any leg saw them.
    pub refused: u64,
    /// INVITEs refused for want of room.
    pub overloaded: u64,
    /// Requests of strangers, and what was none.
    pub strangers: u64,
    /// Messages of scanners.
    pub scanners: u64,
    /// Messages of strangers who had spent their budget.
    pub rate_limited: u64,
    /// Requests that were asked for a proof.
    pub challenged: u64,
    /// Proofs that were wrong.
    pub auth_failures: u64,
    /// Responses and ACKs that belong to nothing.
    pub stray: u64,
}

impl From<sip::Stats> for SipStatus {
    fn from(stats: sip::Stats) -> Self {
        Self {
            legs: stats.legs,
            transactions: stats.transactions,
            received: stats.received,
            parse_errors: stats.parse_errors,
            retransmissions: stats.retransmissions,
            repeated_requests: stats.repeated_requests,
            refused: stats.refused,
            overloaded: stats.overloaded,
            strangers: stats.strangers,
            scanners: stats.scanners,
            rate_limited: stats.rate_limited,
            challenged: stats.challenged,
            auth_failures: stats.auth_failures,
            stray: stats.stray,
        }
    }
}

/// How far a registration is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// The registrar's name has no address yet.
    Looking,
    /// Asked, not answered.
    Trying,
    /// The registrar has our contact.
    Registered,
    /// Refused or unreachable.
    Failed,
    /// Taken back.
    Removed,
}

impl Standing {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Looking, Self::Trying, Self::Registered, Self::Failed, Self::Removed];

    /// `looking`, `trying`, ….
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Looking => "looking",
            Self::Trying => "trying",
            Self::Registered => "registered",
            Self::Failed => "failed",
            Self::Removed => "removed",
        }
    }
}

/// One registration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registered {
    /// `user@domain`.
    pub account: String,
    /// The registrar as configured, or its address.
    pub registrar: String,
    /// How far it is.
    pub state: Standing,
    /// The last final status; 408 for silence, 503 for nobody there.
    pub code: Option<u16>,
    /// Seconds the registrar granted.
    pub expires_s: Option<u64>,
    /// Seconds until the next REGISTER.
    pub next_in_s: Option<u64>,
}

/// Where the socket of a server may be that speaks SIP at this port: in one of these folders.
pub fn places(folders: &[PathBuf], port: u16) -> Vec<PathBuf> {
    folders.iter().map(|folder| folder.join(format!("ramal-{port}.sock"))).collect()
}

/// Folders that sockets are looked for in, the best first: of the service as systemd names it, of the user, of all.
pub fn folders(env: &Environment) -> Vec<PathBuf> {
    let named = |variable: &str| env.get(variable).filter(|path| path.starts_with('/')).map(PathBuf::from);
    let mut folders: Vec<PathBuf> = ["RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR"].into_iter().filter_map(named).collect();
    folders.extend(["/run/ramal", "/tmp"].map(PathBuf::from));
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_one_line_and_reads_back() {
        let table = [
            (Ask::Trace { call: "last".into() }, r#"{"version":1,"ask":"trace","call":"last"}"#),
            (Ask::Follow { call: None }, r#"{"version":1,"ask":"follow","call":null}"#),
            (Ask::Calls, r#"{"version":1,"ask":"calls"}"#),
            (
                Ask::Record { call: "x@y".into(), order: RecordOrder::Pause },
                r#"{"version":1,"ask":"record","call":"x@y","order":"pause"}"#,
            ),
            (Ask::Live, r#"{"version":1,"ask":"live"}"#),
            (
                Ask::Steer { call: "c0".into(), order: steer::Order::HangUp },
                r#"{"version":1,"ask":"steer","call":"c0","order":"hang_up"}"#,
            ),
            (
                Ask::Steer { call: "c0".into(), order: steer::Order::Transfer { to: "sales".into() } },
                r#"{"version":1,"ask":"steer","call":"c0","order":{"transfer":{"to":"sales"}}}"#,
            ),
            (Ask::Status, r#"{"version":1,"ask":"status"}"#),
            (Ask::Metrics, r#"{"version":1,"ask":"metrics"}"#),
        ];
        for (ask, line) in table {
            let request = Request { version: VERSION, ask };
            assert_eq!(serde_json::to_string(&request).unwrap(), line);
            assert_eq!(serde_json::from_str::<Request>(line).unwrap(), request);
        }
    }

    #[test]
    fn a_message_passes_the_socket_byte_by_byte() {
        let entry = Entry {
            number: 7,
            at: 1_790_000_000_000_001,
            direction: Direction::Out,
            carrier: Carrier::Tls,
            local: "[::1]:5061".parse().unwrap(),
            remote: "192.0.2.1:5061".parse().unwrap(),
            call_id: "x@y".into(),
            bytes: [0, 0xff, b'\r', b'\n'][..].into(),
        };
        let line = serde_json::to_string(&Reply::Message((&entry).into())).unwrap();
        assert!(!line.contains('\n'));
        let Reply::Message(told) = serde_json::from_str(&line).unwrap() else { panic!("{line}") };
        assert_eq!(Entry::from(told), entry);
    }

    #[test]
    fn the_socket_is_in_a_folder_of_the_service_or_the_user() {
        let env = Environment::from([
            ("XDG_RUNTIME_DIR".to_owned(), "/run/user/1000".to_owned()),
            ("RUNTIME_DIRECTORY".to_owned(), String::new()),
        ]);
        let found = places(&folders(&env), 5070);
        let want = ["/run/user/1000", "/run/ramal", "/tmp"].map(|folder| PathBuf::from(folder).join("ramal-5070.sock"));
        assert_eq!(found, want);
    }
}
