//! What the administrator wants: TOML and environment in, checked values out.
mod api;
mod callers;
mod check;
mod codecs;
mod detector;
mod diagnosis;
mod dtmf;
mod environment;
mod listeners;
mod openai;
mod parts;
mod raw;
mod recording;
mod secret;
mod secretaries;
mod sections;
mod tenants;

use crate::{
    call::Patiences,
    dtmf::Dtmf,
    secretary::{DomainRef, SecretaryEntry},
};
pub use api::Api;
pub use callers::Callers;
pub use check::{ConfigError, Problem};
pub use diagnosis::Hep;
use media::{
    Patience,
    codec::Codec,
    echo,
    latch::Policy,
    sdp::{ComfortNoise, Preference},
    vad,
};
pub use openai::{Azure, Live, McpServer, Tuning};
pub use parts::{Chain, Parts, Protocol, Service};
pub use recording::{Heard, Recording, RecordingFormat, S3};
pub use secret::Secret;
pub use sip::Network;
use sip::{Strangers, Transport, uri::Uri};
use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};
pub use tenants::{Limits, Tenancy, TenantEntry, Unpriced, Webhooks};

/// The default configuration, every key with a comment: what `ramal config --print-default` prints.
pub const DEFAULT_TOML: &str = include_str!("default.toml");

/// The secretaries of a server that was given no configuration file.
const DEMO_TOML: &str = include_str!("demo.toml");

/// Environment variables, as `std::env::vars` yields them.
pub type Environment = BTreeMap<String, String>;

/// Everything, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// `[sip]`
    pub sip: Sip,
    /// `[tls]`
    pub tls: Tls,
    /// `[[peers]]`
    pub peers: Vec<Peer>,
    /// `[[registrations]]`
    pub registrations: Vec<Registration>,
    /// `[rtp]`
    pub rtp: Rtp,
    /// `[database]`
    pub database: Database,
    /// `[openai]` and `[live]`
    pub openai: OpenAi,
    /// `[azure]`
    pub azure: Azure,
    /// `[gemini]`
    pub gemini: Gemini,
    /// `[elevenlabs]`
    pub elevenlabs: ElevenLabs,
    /// `[[services]]`, `[pipeline]`, `[turn_based]`
    pub parts: Parts,
    /// `[local]`
    pub local: Local,
    /// `[call]`
    pub call: Call,
    /// `[media]`
    pub media: Media,
    /// `[recording]`
    pub recording: Recording,
    /// `[limits]`, `[redis]`, `[secrets]` and `[[tenants]]`
    pub tenancy: Tenancy,
    /// `[log]`
    pub log: Log,
    /// `[trace]`
    pub trace: Trace,
    /// `[control]` and `[api]`
    pub control: Control,
    /// `[[secretaries]]`, to be written to the store at start.
    pub secretaries: Vec<SecretaryEntry>,
}

/// Where SIP is spoken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sip {
    /// Where we listen: `udp`, `tcp` and `tls` of `[sip]`, then `[[listeners]]`.
    pub listeners: Vec<Listener>,
    /// The addresses peers reach us at, when they are not those we listen on; at most one of each family. They go
    /// into Contact, Via and SDP, where the listener has none of its own.
    pub advertised: Vec<IpAddr>,
    /// `User-Agent` and `Server`.
    pub user_agent: String,
    /// Name servers to ask; none for those of the system.
    pub dns: Vec<SocketAddr>,
    /// More calls than this are answered 503.
    pub max_calls: u32,
    /// What callers get who are no peers, and how often peers may call.
    pub callers: Callers,
}

impl Sip {
    /// The address peers reach us at who see this one of ours.
    pub fn seen_as(&self, own: IpAddr) -> IpAddr {
        self.advertised.iter().find(|ip| ip.is_ipv4() == own.is_ipv4()).copied().unwrap_or(own)
    }

    /// The addresses that callers send audio to which is to reach this one of ours, by the listener or way out they
    /// came by: the one that Contact tells them, unless that is but the address of the listener, at which no audio is
    /// received. Where audio is received at every address, it is at the listener's.
    pub fn audio_seen_as(&self, own: IpAddr) -> Vec<IpAddr> {
        let told = |listener: &Listener| {
            let everywhere = own.is_unspecified();
            let seen = listener.advertised.or_else(|| everywhere.then_some(listener.address))?.ip();
            let reaches = everywhere || own == seen || listener.address.ip() != seen;
            (reaches && !seen.is_unspecified() && seen.is_ipv4() == own.is_ipv4()).then_some(seen)
        };
        let ways = self.ways_out();
        self.listeners.iter().chain(&ways).map(|listener| told(listener).unwrap_or_else(|| self.seen_as(own))).collect()
    }

    /// By what we call where we do not listen: TCP and TLS, from the first address of each family. The port is any.
    pub fn ways_out(&self) -> Vec<Listener> {
        let mut ways = Vec::new();
        for v4 in [true, false] {
            let ours = || self.listeners.iter().filter(|listener| listener.address.is_ipv4() == v4);
            let Some(first) = ours().next() else { continue };
            let lacking = |transport: &Transport| ours().all(|listener| listener.transport != *transport);
            for transport in [Transport::Tcp, Transport::Tls].into_iter().filter(lacking) {
                ways.push(Listener {
                    advertised: first.advertised.map(|seen| SocketAddr::new(seen.ip(), 0)),
                    ..Listener::plain(transport, SocketAddr::new(first.address.ip(), 0))
                });
            }
        }
        ways
    }
}

/// One socket to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Over what.
    pub transport: Transport,
    /// Where; port 0 for any.
    pub address: SocketAddr,
    /// How peers see it, when they see it elsewhere; port 0 for the one that was bound. They send audio there, too.
    pub advertised: Option<SocketAddr>,
    /// Names of those who may call here; `None` for all peers.
    pub peers: Option<Vec<String>>,
    /// What strangers get here; `None` for what they get elsewhere.
    pub strangers: Option<Strangers>,
    /// Whether the audio of calls that come here is encrypted; `None` for what `[rtp]` says.
    pub srtp: Option<Srtp>,
    /// The codecs of calls that come here; `None` for those of [`Rtp`].
    pub codecs: Option<Vec<Codec>>,
    /// Whose order chooses in calls that come here, if not as in [`Rtp`].
    pub codec_order: Option<Preference>,
}

impl Listener {
    /// A listener whose peers see it where it is.
    pub const fn plain(transport: Transport, address: SocketAddr) -> Self {
        Self {
            transport,
            address,
            advertised: None,
            peers: None,
            strangers: None,
            srtp: None,
            codecs: None,
            codec_order: None,
        }
    }

    /// How peers see it once it is bound there.
    pub fn seen_as(&self, bound: SocketAddr) -> SocketAddr {
        match self.advertised {
            Some(seen) if seen.port() == 0 => SocketAddr::new(seen.ip(), bound.port()),
            Some(seen) => seen,
            None => bound,
        }
    }
}

/// What we prove over TLS, and whom we believe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// Our certificate; needed to listen.
    pub identity: Option<Identity>,
    /// Whose connections are taken.
    pub clients: Clients,
    /// Authorities to believe beside the public ones (PEM).
    pub ca_file: Option<PathBuf>,
    /// Whether the servers we connect to must prove who they are.
    pub verify_servers: bool,
}

impl Default for Tls {
    fn default() -> Self {
        Self { identity: None, clients: Clients::Anyone, ca_file: None, verify_servers: true }
    }
}

/// A certificate and its key, in PEM files that are read again when they change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Our certificate first, then those above it.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// Who may connect over TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Clients {
    /// Whoever wants to.
    Anyone,
    /// Who shows a certificate of these authorities; if it is not required, also who shows none.
    Known {
        /// The authorities (PEM).
        ca_file: PathBuf,
        /// Whether a certificate must be shown.
        required: bool,
    },
}

/// Somebody who may call us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// For the log.
    pub name: String,
    /// Where its requests come from; empty for anywhere, if it proves who it is.
    pub addresses: Vec<Network>,
    /// User and password by which it must prove who it is when it calls.
    pub credentials: Option<(String, Secret)>,
    /// Whether its `X-Ramal-…` headers choose the tenant and the secretary.
    pub trusted_headers: bool,
    /// The tenant of calls that name none.
    pub domain: Option<DomainRef>,
    /// Whether the audio of its calls is encrypted; `None` for what is said of the listener, or of all.
    pub srtp: Option<Srtp>,
    /// How keys pass in its calls; `None` for what `[rtp]` says.
    pub dtmf: Option<Dtmf>,
    /// The codecs of its calls; `None` for those of the listener, or of all.
    pub codecs: Option<Vec<Codec>>,
    /// Whose order chooses in its calls; `None` for what is said of the listener, or of all.
    pub codec_order: Option<Preference>,
}

/// An account of ours at a registrar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// Whom to register with: `sip` or `sips`, a host, and what is written of port and transport.
    pub registrar: Uri,
    /// By whom REGISTER and calls go, if not to the registrar itself.
    pub outbound_proxy: Option<Uri>,
    /// Domain of the account: FusionPBX's domain name. Calls through it belong to this tenant.
    pub domain: String,
    /// The extension or gateway user.
    pub user: String,
    /// User of the digest.
    pub auth_user: String,
    /// Its password.
    pub password: Secret,
    /// User part of our Contact.
    pub contact_user: String,
    /// Expiry to ask for.
    pub expires: Duration,
    /// Whether the audio of calls through it is encrypted; `None` for what is said of the peer, the listener, or all.
    pub srtp: Option<Srtp>,
    /// The codecs of calls through it; `None` for those of the peer, the listener, or all.
    pub codecs: Option<Vec<Codec>>,
    /// Whose order chooses in calls through it; `None` for what is said of the peer, the listener, or all.
    pub codec_order: Option<Preference>,
    /// How keys pass in calls through it; `None` for what is said of the peer, or of all.
    pub dtmf: Option<Dtmf>,
    /// How often the registrar is asked by OPTIONS whether it is there; `None` for never.
    pub ping: Option<Duration>,
}

impl Registration {
    /// Whose addresses its requests are sent to.
    pub fn first_hop(&self) -> &Uri {
        self.outbound_proxy.as_ref().unwrap_or(&self.registrar)
    }
}

/// First and last port, both even: RTP on even ports, RTCP on the odd one above (RFC 3550 §11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    /// The first RTP port.
    pub first: u16,
    /// The last port, RTP or RTCP.
    pub last: u16,
}

impl PortRange {
    /// How many calls fit.
    pub fn pairs(self) -> u32 {
        (u32::from(self.last) + 1).saturating_sub(self.first.into()) / 2
    }
}

/// Where and how audio is exchanged.
#[derive(Clone, Debug, PartialEq)]
pub struct Rtp {
    /// The addresses the sockets of calls are bound to: one, or one of each family.
    pub addresses: Vec<IpAddr>,
    /// Their ports.
    pub ports: PortRange,
    /// Accepted codecs, in our order of preference.
    pub codecs: Vec<Codec>,
    /// Whose order chooses the codec of a call.
    pub codec_order: Preference,
    /// What is done about comfort noise.
    pub comfort_noise: ComfortNoise,
    /// How long the caller's packets may stay away.
    pub patience: Patience,
    /// Which sources besides the signalled one may be taken for the caller.
    pub learn: Policy,
    /// A mean opinion score below is warned of, 1 to 4.5.
    pub poor_below: f64,
    /// For calls of whom nothing else is said.
    pub srtp: Srtp,
    /// How keys pass, for calls of whom nothing else is said.
    pub dtmf: Dtmf,
}

/// Whether the audio of a call is encrypted, by keys in its descriptions (RFC 4568). There is nothing in between.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Srtp {
    /// Plain RTP; an offer of SRTP alone is refused.
    #[default]
    Off,
    /// SRTP; an offer of plain RTP alone is refused.
    Required,
}

/// Where secretaries come from and conversations go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Database {
    /// `sqlite:PATH` or `postgres://…`; may hold a password.
    pub url: Secret,
    /// Most connections at once.
    pub pool: u32,
    /// Keeps the records of conversations while the database is away, one JSON object a line.
    pub spill: PathBuf,
}

/// Gemini Live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gemini {
    /// Without one, secretaries of this provider refuse calls.
    pub api_key: Option<Secret>,
    /// `wss://` or `ws://`, and a host.
    pub url: String,
    /// Of the API, as in its path.
    pub api_version: String,
    /// For secretaries that name none.
    pub model: String,
    /// For secretaries that name none.
    pub voice: String,
    /// Certificates to trust beside the public ones, PEM.
    pub ca_file: Option<PathBuf>,
}

/// OpenAI Realtime.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenAi {
    /// Without one, secretaries of this provider refuse calls.
    pub api_key: Option<Secret>,
    /// `wss://` or `ws://`, without a query.
    pub url: String,
    /// For secretaries that name none.
    pub model: String,
    /// For secretaries that name none.
    pub transcription_model: String,
    /// How conversations are held, at Azure too.
    pub tuning: Tuning,
    /// OpenAI Live.
    pub live: Live,
    /// Certificates to trust beside the public ones, PEM.
    pub ca_file: Option<PathBuf>,
}

/// ElevenLabs Agents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ElevenLabs {
    /// Without one, only public agents answer.
    pub api_key: Option<Secret>,
    /// `wss://` or `ws://`, without a query.
    pub url: String,
    /// For secretaries that name none.
    pub agent_id: Option<String>,
    /// Certificates to trust beside the public ones, PEM.
    pub ca_file: Option<PathBuf>,
}

/// The provider inside this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Local {
    /// Where `ramal models fetch` puts its files.
    pub models_dir: PathBuf,
    /// Threads of the recogniser; `None` for one per core.
    pub threads: Option<u32>,
    /// BCP 47, for secretaries that name none.
    pub language: String,
}

/// Limits of every call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// How long providers are waited for.
    pub ladder: Patiences,
    /// How long the announcement of a transfer may take.
    pub announce_deadline: Duration,
    /// How long a REFER may stay without a final NOTIFY.
    pub notify_deadline: Duration,
    /// How long the peer may take to hang up after a transfer that worked.
    pub bye_after_transfer: Duration,
    /// How long a goodbye may take.
    pub farewell_deadline: Duration,
    /// How long a caller whose provider died may take to press a key of the secretary's menu.
    pub menu_deadline: Duration,
    /// The longest speech that may wait to be played.
    pub max_queued: Duration,
    /// How long calls may go on after SIGTERM.
    pub drain: Duration,
    /// Where a caller goes whose provider died.
    pub fallback_extension: Option<String>,
}

/// The media threads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    /// `None` for one per core.
    pub threads: Option<u32>,
    /// How long a gap in the caller's packets may wait for its packet.
    pub reorder_window: Duration,
    /// Whether the tones of keys are listened to.
    pub inband_dtmf: bool,
    /// Whether noise is damped in what providers hear of callers.
    pub noise_suppression: bool,
    /// Who hears whether the caller speaks.
    pub vad: vad::Engine,
    /// What providers hear of the assistant, come back.
    pub echo: echo::Policy,
}

/// What is written to standard error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// `tracing` directives: `info`, `warn,ramal::call=debug`.
    pub level: String,
    /// One JSON object a line.
    pub json: bool,
    /// What is told of calls, once more for each tenant.
    pub domains: Option<DomainLogs>,
}

/// Logs of tenants' own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainLogs {
    /// Folder with a folder for each domain.
    pub directory: PathBuf,
    /// Files of a day each that are kept of a domain.
    pub keep_days: u32,
}

/// What is kept of SIP messages, and who else gets them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// Answered calls whose messages are kept; 0 keeps none.
    pub calls: u32,
    /// Most memory of all messages together, in MiB.
    pub memory_mib: u32,
    /// Gets a copy of every message.
    pub hep: Option<Hep>,
}

/// Where a running server is asked: by `ramal trace` and its kin, and over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    /// A socket file; `None` for one that is found by the SIP port.
    pub socket: Option<PathBuf>,
    /// Folders that one is looked for in, the best first.
    pub folders: Vec<PathBuf>,
    /// The HTTP API; `None` for none.
    pub api: Option<Api>,
}

impl Config {
    /// Reads a file, or the embedded defaults with their demo secretaries when there is none.
    ///
    /// # Errors
    /// Every mistake in file and environment.
    pub fn load(path: Option<&Path>, env: &Environment) -> Result<Self, ConfigError> {
        let Some(path) = path else {
            let mut config = Self::parse("", "built-in defaults", env)?;
            if config.database.is_sqlite() {
                config.secretaries = Self::parse(DEMO_TOML, "built-in demo", &Environment::new())?.secretaries;
            }
            return Ok(config);
        };
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| ConfigError {
            problems: vec![Problem {
                source: name.clone(),
                key: "file".into(),
                value: None,
                message: format!("cannot be read: {error}; `ramal config --print-default` prints one to start from"),
            }],
        })?;
        Self::parse(&text, &name, env)
    }

    /// Reads TOML. `name` is what messages call it.
    ///
    /// # Errors
    /// Every mistake in text and environment; only the first if the text is not TOML.
    pub fn parse(text: &str, name: &str, env: &Environment) -> Result<Self, ConfigError> {
        sections::parse(text, name, env)
    }

    /// Authorities of the administrator's own, by the section that names them: each is believed by all providers.
    pub fn authorities(&self) -> Vec<(&'static str, &Path)> {
        let Self { openai, gemini, elevenlabs, parts, .. } = self;
        let named = [("openai", &openai.ca_file), ("gemini", &gemini.ca_file), ("elevenlabs", &elevenlabs.ca_file)];
        let services = parts.services.iter().map(|service| ("services", &service.ca_file));
        named.into_iter().chain(services).filter_map(|(section, path)| Some((section, path.as_deref()?))).collect()
    }
}

impl Database {
    /// Whether it is a file of ours rather than a server.
    pub fn is_sqlite(&self) -> bool {
        self.url.expose().starts_with("sqlite:")
    }
}

#[cfg(test)]
mod tests;
