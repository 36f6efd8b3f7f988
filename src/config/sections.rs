//! From the written sections to the checked ones.
use super::{
    Call, Config, ConfigError, Database, DomainLogs, ElevenLabs, Environment, Gemini, Listener, Live, Local, Log,
    Media, OpenAi, PortRange, Problem, Registration, Rtp, Secret, Sip, Srtp, Tenancy,
    callers::{self, loopback, peer},
    check::{Check, Place},
    codecs, detector, diagnosis, dtmf, environment,
    listeners::{self, PROTOCOL, Protocol},
    openai, parts,
    raw::{
        self, RawCall, RawDatabase, RawElevenLabs, RawGemini, RawLocal, RawLog, RawMedia, RawOpenAi, RawRegistration,
        RawRtp, RawSip,
    },
    recording, secretaries, tenants,
};
use crate::{accounts::Written, call::Patiences, secretary};
use media::{Patience, codec::Codec, echo, latch::Policy, vad};
use serde::de::DeserializeOwned;
use sip::{
    Transport,
    uri::{Scheme, Uri},
};
use std::{
    collections::BTreeMap,
    fs::File,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    str::FromStr,
    time::Duration,
};
use toml::{Table, Value};
use tracing_subscriber::EnvFilter;

pub(super) const ADDRESS_AND_PORT: &str = "must be an address and a port, like \"127.0.0.1:5070\" or \"[::1]:5070\"";
pub(super) const WEBSOCKET: &str = "must start with \"wss://\" or \"ws://\" and have no query";
pub(super) const ADDRESS: &str = "must be an IP address, like \"192.0.2.10\"";

pub(super) fn parse(text: &str, name: &str, env: &Environment) -> Result<Config, ConfigError> {
    let mut check = Check { file: name, env, overridden: BTreeMap::new(), problems: Vec::new() };
    let mut table: Table =
        text.parse().map_err(|error| ConfigError { problems: vec![not_toml(&error, text, name)] })?;
    environment::apply(&mut table, &mut check);
    let check = &mut check;
    let has_listeners = table.contains_key("listeners");
    let mut sip = sip(section(&mut table, "sip", check), has_listeners, check);
    sip.listeners.extend(entries(&mut table, "listeners", check, listeners::listener));
    for listener in &mut sip.listeners {
        let own = listener.address.ip();
        let seen = sip.advertised.iter().find(|seen| seen.is_ipv4() == own.is_ipv4());
        listener.advertised = listener.advertised.or_else(|| seen.map(|seen| SocketAddr::new(*seen, 0)));
    }
    let tls = listeners::tls(section(&mut table, "tls", check), check);
    let peers = match table.contains_key("peers") {
        true => entries(&mut table, "peers", check, peer),
        false => vec![loopback()],
    };
    let parts = separate_parts(&mut table, check);
    let config = Config {
        sip,
        tls,
        peers,
        registrations: entries(&mut table, "registrations", check, registration),
        rtp: rtp(section(&mut table, "rtp", check), check),
        database: database(section(&mut table, "database", check), check),
        openai: realtime(
            section(&mut table, "openai", check),
            openai::live(section(&mut table, "live", check), check),
            check,
        ),
        azure: openai::azure(section(&mut table, "azure", check), check),
        gemini: gemini(section(&mut table, "gemini", check), check),
        elevenlabs: elevenlabs(section(&mut table, "elevenlabs", check), check),
        parts,
        local: local(section(&mut table, "local", check), check),
        call: call(section(&mut table, "call", check), check),
        media: media(section(&mut table, "media", check), check),
        recording: recording::recording(section(&mut table, "recording", check), check),
        tenancy: tenancy(&mut table, check),
        log: log(section(&mut table, "log", check), check),
        trace: diagnosis::trace(section(&mut table, "trace", check), check),
        control: diagnosis::control(section(&mut table, "control", check), section(&mut table, "api", check), check),
        secretaries: entries(&mut table, "secretaries", check, secretaries::entry),
    };
    secretaries::unique(&config.secretaries, check);
    tenants::together(&config.tenancy, check);
    callers::distinct(&config.peers, check);
    callers::known(&config.sip.listeners, &config.peers, check);
    listeners::reachable(&config, check);
    let names: Vec<&str> = raw::SECTIONS.iter().chain(&raw::LISTS).map(|(name, _)| *name).collect();
    for key in table.keys() {
        let message = format!("unknown section; allowed are {}", names.join(", "));
        check.problems.push(Problem { source: name.to_owned(), key: key.clone(), value: None, message });
    }
    if check.problems.is_empty() {
        Ok(config)
    } else {
        Err(ConfigError { problems: std::mem::take(&mut check.problems) })
    }
}

fn separate_parts(table: &mut Table, check: &mut Check<'_>) -> parts::Parts {
    let services = entries(table, "services", check, parts::service);
    let services = parts::services(services, check);
    parts::Parts {
        pipeline: parts::pipeline(section(table, "pipeline", check), &services, check),
        turn_based: parts::turn_based(section(table, "turn_based", check), &services, check),
        services,
    }
}

fn tenancy(table: &mut Table, check: &mut Check<'_>) -> Tenancy {
    Tenancy {
        limits: tenants::limits(section(table, "limits", check), check),
        redis: tenants::redis(section(table, "redis", check), check),
        master_keys: tenants::master_keys(section(table, "secrets", check), check),
        tenants: entries(table, "tenants", check, tenants::entry),
    }
}

/// A syntax error by line and column; the line itself is not shown, since it may hold a password.
fn not_toml(error: &toml::de::Error, text: &str, name: &str) -> Problem {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    let key = format!("line {line}, column {column}");
    Problem { source: name.to_owned(), key, value: None, message: format!("is not TOML: {}", error.message()) }
}

fn section<T: Default + DeserializeOwned>(table: &mut Table, name: &str, check: &mut Check<'_>) -> T {
    match table.remove(name) {
        None => T::default(),
        Some(Value::Table(section)) => section.try_into().unwrap_or_default(),
        Some(_) => {
            let message = format!("must be a table: write [{name}] on a line of its own");
            check.problems.push(Problem { source: check.file.to_owned(), key: name.to_owned(), value: None, message });
            T::default()
        }
    }
}

/// Reads `[[name]]`; an entry with a mistake is dropped, since its mistake is noted.
fn entries<T: Default + DeserializeOwned, U>(
    table: &mut Table,
    name: &str,
    check: &mut Check<'_>,
    read: fn(T, &str, &mut Check<'_>) -> Option<U>,
) -> Vec<U> {
    let Some(value) = table.remove(name) else { return Vec::new() };
    let tables: Option<Vec<Table>> = match value {
        Value::Array(items) => items.into_iter().map(|item| item.try_into().ok()).collect(),
        _ => None,
    };
    let Some(tables) = tables else {
        let message = format!("must be a list of tables: write [[{name}]] above each");
        check.problems.push(Problem { source: check.file.to_owned(), key: name.to_owned(), value: None, message });
        return Vec::new();
    };
    let each = tables.into_iter().enumerate();
    each.filter_map(|(index, entry)| read(entry.try_into().unwrap_or_default(), &format!("{name}[{index}]"), check))
        .collect()
}

/// Without a word about listeners there is one on this machine, over UDP and TCP.
fn sip(mut raw: RawSip, has_listeners: bool, check: &mut Check<'_>) -> Sip {
    let at = |key| Place { section: "sip", key };
    check.unknown("sip", &raw.unknown, RawSip::KEYS);
    let local = || if has_listeners { Vec::new() } else { vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 5070))] };
    let udp = check.list(at("udp"), raw.udp.take(), ADDRESS_AND_PORT).unwrap_or_else(local);
    let tcp = check.list(at("tcp"), raw.tcp.take(), ADDRESS_AND_PORT).unwrap_or_else(local);
    let tls = check.list(at("tls"), raw.tls.take(), ADDRESS_AND_PORT).unwrap_or_default();
    let each = [(Transport::Udp, udp), (Transport::Tcp, tcp), (Transport::Tls, tls)];
    let listeners = each.into_iter().flat_map(|(transport, addresses)| {
        addresses.into_iter().map(move |address| Listener::plain(transport, address))
    });
    let sip = Sip {
        listeners: listeners.collect(),
        advertised: check.list(at("advertised"), raw.advertised.take(), ADDRESS).unwrap_or_default(),
        user_agent: check
            .text(at("user_agent"), raw.user_agent.take())
            .unwrap_or_else(|| concat!("Ramal/", env!("CARGO_PKG_VERSION")).to_owned()),
        dns: check.list(at("dns"), raw.dns.take(), ADDRESS_AND_PORT).unwrap_or_default(),
        max_calls: check.integer(at("max_calls"), raw.max_calls.take(), 1..=100_000).unwrap_or(500),
        callers: callers::callers(&mut raw, check),
    };
    if sip.user_agent.chars().any(char::is_control) {
        check.refuse(at("user_agent"), None, "must not contain control characters");
    }
    sip
}

/// Shortest pause between two pings: a ping may take 5 s.
const LEAST_PING: Duration = Duration::from_secs(10);

fn registration(raw: RawRegistration, section: &str, check: &mut Check<'_>) -> Option<Registration> {
    let at = |key| Place { section, key };
    let before = check.problems.len();
    check.unknown(section, &raw.unknown, RawRegistration::KEYS);
    if raw.registrar.is_none() {
        check.refuse(at("registrar"), None, "is missing");
    }
    let server = "must be a host, like \"pbx.example\" or \"192.0.2.10:5060\", or a SIP URI without a user";
    let mut registrar: Option<Server> = check.parsed(at("registrar"), raw.registrar, server);
    let mut proxy: Option<Server> = check.parsed(at("outbound_proxy"), raw.outbound_proxy, server);
    let transport: Option<Protocol> = check.parsed(at("transport"), raw.transport.clone(), PROTOCOL);
    if let (Some(Protocol(transport)), Some(first_hop)) = (transport, proxy.as_mut().or(registrar.as_mut()))
        && !first_hop.go_over(transport)
    {
        let message = "is given by the URI of the registrar or outbound proxy already";
        check.refuse(at("transport"), raw.transport.as_ref(), message);
    }
    let user = check.required(at("user"), raw.user).unwrap_or_default();
    if raw.password.is_none() {
        check.refuse(at("password"), None, "is missing");
    }
    let password = check.secret(at("password"), raw.password);
    let ping = check.integer(at("ping_s"), raw.ping_s, 0..=3_600).map(seconds);
    if ping.is_some_and(|interval| !interval.is_zero() && interval < LEAST_PING) {
        check.refuse(at("ping_s"), None, "must be 0 (never) or 10 to 3600");
    }
    let registration = Registration {
        domain: check
            .text(at("domain"), raw.domain)
            .or_else(|| registrar.as_ref().map(|Server(uri)| uri.host().to_owned()))
            .unwrap_or_default(),
        auth_user: check.text(at("auth_user"), raw.auth_user).unwrap_or_else(|| user.clone()),
        contact_user: check.text(at("contact_user"), raw.contact_user).unwrap_or_else(|| user.clone()),
        user,
        registrar: registrar?.0,
        outbound_proxy: proxy.map(|Server(uri)| uri),
        password: password?,
        expires: seconds(check.integer(at("expires_s"), raw.expires_s, 60..=86_400).unwrap_or(300)),
        srtp: check.parsed(at("srtp"), raw.srtp, SRTP),
        codecs: codecs::list(at("codecs"), raw.codecs, check),
        codec_order: codecs::order(at("codec_order"), raw.codec_order, check),
        dtmf: dtmf::way(at("dtmf"), raw.dtmf, check),
        ping: ping.filter(|interval| !interval.is_zero()),
    };
    (check.problems.len() == before).then_some(registration)
}

impl Registration {
    /// Checks a row of `v_voice_registrations` as an entry of `[[registrations]]` is checked. Its password is itself: a
    /// row names no file and no variable of ours.
    ///
    /// # Errors
    /// Every column that cannot be used.
    pub fn of_row(row: Written) -> Result<Self, ConfigError> {
        const TABLE: &str = "v_voice_registrations";
        let env = Environment::new();
        let mut check = Check { file: "the database", env: &env, overridden: BTreeMap::new(), problems: Vec::new() };
        let text = |text: Option<String>| text.map(Value::String);
        let password = row.password.filter(|password| !password.is_empty());
        let raw = RawRegistration {
            registrar: text(row.registrar),
            transport: text(row.transport.filter(|transport| !transport.is_empty())),
            domain: text(row.domain),
            outbound_proxy: text(row.outbound_proxy.filter(|proxy| !proxy.is_empty())),
            user: text(row.user),
            auth_user: text(row.auth_user),
            password: password.is_some().then(|| Value::String("the row's".into())),
            contact_user: text(row.contact_user),
            expires_s: row.expires_s.map(|seconds| Value::Integer(seconds.into())),
            srtp: text(row.srtp.filter(|srtp| !srtp.is_empty())),
            codecs: codecs::of_row(row.codecs),
            codec_order: text(row.codec_order.filter(|order| !order.is_empty())),
            dtmf: text(row.dtmf.filter(|dtmf| !dtmf.is_empty())),
            ping_s: row.ping_s.map(|seconds| Value::Integer(seconds.into())),
            unknown: BTreeMap::new(),
        };
        let registration = registration(raw, TABLE, &mut check);
        match (registration, password) {
            (Some(registration), Some(password)) => Ok(Self { password: Secret::new(password), ..registration }),
            (None, _) | (_, None) => Err(ConfigError { problems: check.problems }),
        }
    }
}

/// A SIP server: a host with or without port, or its URI.
struct Server(Uri);

impl Server {
    /// Adds the transport, unless the URI names one.
    fn go_over(&mut self, transport: Transport) -> bool {
        let Self(uri) = self;
        let free = uri.param("transport").is_none();
        if let Some(with) = uri.with_param("transport", transport.param()).ok().filter(|_| free) {
            *uri = with;
        }
        free
    }
}

impl FromStr for Server {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let whole = Uri::parse(text).ok().filter(|uri| matches!(uri.scheme(), Scheme::Sip | Scheme::Sips));
        let uri = whole.map_or_else(|| Uri::sip(None, text), Ok).map_err(drop)?;
        let plain = uri.user().is_none() && uri.headers().next().is_none() && uri.port() != Some(0);
        plain.then_some(Self(uri)).ok_or(())
    }
}

pub(super) const SRTP: &str = "must be \"off\" or \"required\"";

impl FromStr for Srtp {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "off" => Ok(Self::Off),
            "required" => Ok(Self::Required),
            _ => Err(()),
        }
    }
}

impl FromStr for PortRange {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (first, last) = text.split_once('-').ok_or(())?;
        let range = Self { first: first.trim().parse().map_err(drop)?, last: last.trim().parse().map_err(drop)? };
        let fits = range.first >= 1024 && range.first.is_multiple_of(2) && range.pairs() > 0;
        if fits { Ok(range) } else { Err(()) }
    }
}

fn rtp(raw: RawRtp, check: &mut Check<'_>) -> Rtp {
    let at = |key| Place { section: "rtp", key };
    check.unknown("rtp", &raw.unknown, RawRtp::KEYS);
    let codecs = codecs::list(at("codecs"), raw.codecs, check);
    let addresses: Vec<IpAddr> =
        check.list(at("address"), raw.address, ADDRESS).unwrap_or_else(|| vec![IpAddr::V4(Ipv4Addr::LOCALHOST)]);
    if addresses.is_empty() || !listeners::one_of_each_family(&addresses) {
        check.refuse(at("address"), None, "must name one address, or one IPv4 and one IPv6 address");
    }
    let learn = "must be \"signalled\", \"port\" or \"address\"";
    let ports = "must be two ports from 1024 to 65535, the first even, like \"20000-20999\"";
    Rtp {
        addresses,
        ports: check.parsed(at("ports"), raw.ports, ports).unwrap_or(PortRange { first: 20_000, last: 20_999 }),
        codecs: codecs.unwrap_or_else(|| vec![Codec::Pcmu, Codec::Pcma]),
        codec_order: codecs::order(at("codec_order"), raw.codec_order, check).unwrap_or_default(),
        comfort_noise: codecs::noise(at("comfort_noise"), raw.comfort_noise, check),
        patience: Patience {
            warning: seconds(check.integer(at("silence_warning_s"), raw.silence_warning_s, 1..=3_600).unwrap_or(5)),
            end: seconds(check.integer(at("media_timeout_s"), raw.media_timeout_s, 1..=3_600).unwrap_or(60)),
            hold: seconds(check.integer(at("hold_timeout_s"), raw.hold_timeout_s, 1..=86_400).unwrap_or(1_800)),
        },
        learn: check.parsed(at("learn"), raw.learn, learn).map_or_else(Policy::default, |Learn(policy)| policy),
        poor_below: opinion(at("poor_below_mos"), raw.poor_below_mos, check).unwrap_or(3.6),
        srtp: check.parsed(at("srtp"), raw.srtp, SRTP).unwrap_or_default(),
        dtmf: dtmf::way(at("dtmf"), raw.dtmf, check).unwrap_or_default(),
    }
}

/// A mean opinion score.
fn opinion(place: Place<'_>, value: Option<Value>, check: &mut Check<'_>) -> Option<f64> {
    let number = check.number(place, value.clone())?;
    if !(1.0..=4.5).contains(&number) {
        check.refuse(place, value.as_ref(), "must be a number from 1 to 4.5");
    }
    Some(number)
}

/// `[rtp] learn`.
struct Learn(Policy);

impl FromStr for Learn {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "signalled" => Ok(Self(Policy::Signalled)),
            "port" => Ok(Self(Policy::SignalledAddress)),
            "address" => Ok(Self(Policy::AnyAddress)),
            _ => Err(()),
        }
    }
}

fn database(raw: RawDatabase, check: &mut Check<'_>) -> Database {
    let at = |key| Place { section: "database", key };
    check.unknown("database", &raw.unknown, RawDatabase::KEYS);
    let url = check.secret(at("url"), raw.url).unwrap_or_else(|| Secret::new("sqlite:ramal.db"));
    if !["sqlite:", "postgres://", "postgresql://"].iter().any(|scheme| url.expose().starts_with(scheme)) {
        let message =
            "must start with \"sqlite:\" (a file, like \"sqlite:/var/lib/ramal/ramal.db\") or \"postgres://\"";
        check.refuse(at("url"), None, message);
    }
    Database {
        pool: check.integer(at("pool"), raw.pool, 1..=200).unwrap_or(5),
        spill: check.text(at("spill"), raw.spill).map_or_else(|| beside(&url), PathBuf::from),
        url,
    }
}

/// The spill file of a database file is beside it; that of a server is where we run.
fn beside(url: &Secret) -> PathBuf {
    let path = url.expose().strip_prefix("sqlite:").and_then(|rest| rest.trim_start_matches("//").split('?').next());
    match path {
        Some("" | ":memory:") | None => "ramal.spill.jsonl".into(),
        Some(path) => format!("{}.spill.jsonl", path.strip_suffix(".db").unwrap_or(path)).into(),
    }
}

fn realtime(mut raw: RawOpenAi, live: Live, check: &mut Check<'_>) -> OpenAi {
    let at = |key| Place { section: "openai", key };
    check.unknown("openai", &raw.unknown, RawOpenAi::KEYS);
    let written = raw.url.clone();
    let text = |value: Option<String>, default: &str| value.unwrap_or_else(|| default.to_owned());
    let openai = OpenAi {
        api_key: check.secret(at("api_key"), raw.api_key.take()),
        url: text(check.text(at("url"), raw.url.take()), "wss://api.openai.com/v1/realtime"),
        model: text(check.telling(at("model"), raw.model.take()), "gpt-realtime-2.1"),
        transcription_model: text(
            check.telling(at("transcription_model"), raw.transcription_model.take()),
            "gpt-live-transcribe",
        ),
        ca_file: authorities(at("ca_file"), raw.ca_file.take(), check),
        tuning: openai::tuning(raw, check),
        live,
    };
    if !is_websocket(&openai.url) {
        check.refuse(at("url"), written.as_ref(), WEBSOCKET);
    }
    openai
}

/// A file of certificates, which must be there.
pub(super) fn authorities(place: Place<'_>, value: Option<Value>, check: &mut Check<'_>) -> Option<PathBuf> {
    let path = check.text(place, value.clone()).map(PathBuf::from)?;
    if let Err(error) = File::open(&path) {
        check.refuse(place, value.as_ref(), format!("cannot be read: {error}"));
    }
    Some(path)
}

fn gemini(raw: RawGemini, check: &mut Check<'_>) -> Gemini {
    let at = |key| Place { section: "gemini", key };
    check.unknown("gemini", &raw.unknown, RawGemini::KEYS);
    let (written_url, written_version) = (raw.url.clone(), raw.api_version.clone());
    let text = |value: Option<String>, default: &str| value.unwrap_or_else(|| default.to_owned());
    let gemini = Gemini {
        api_key: check.secret(at("api_key"), raw.api_key),
        url: text(check.text(at("url"), raw.url), "wss://generativelanguage.googleapis.com"),
        api_version: text(check.text(at("api_version"), raw.api_version), "v1beta"),
        model: text(check.telling(at("model"), raw.model), "gemini-3.8-live"),
        voice: text(check.telling(at("voice"), raw.voice), "Kore"),
        ca_file: authorities(at("ca_file"), raw.ca_file, check),
    };
    if !is_websocket(&gemini.url) {
        check.refuse(at("url"), written_url.as_ref(), WEBSOCKET);
    }
    if gemini.api_version.is_empty() || !gemini.api_version.chars().all(|c| c.is_ascii_alphanumeric()) {
        check.refuse(at("api_version"), written_version.as_ref(), "must be a version of the API, e.g. \"v1beta\"");
    }
    gemini
}

fn elevenlabs(raw: RawElevenLabs, check: &mut Check<'_>) -> ElevenLabs {
    let at = |key| Place { section: "elevenlabs", key };
    check.unknown("elevenlabs", &raw.unknown, RawElevenLabs::KEYS);
    let written = raw.url.clone();
    let default = || "wss://api.elevenlabs.io/v1/convai/conversation".to_owned();
    let elevenlabs = ElevenLabs {
        api_key: check.secret(at("api_key"), raw.api_key),
        url: check.text(at("url"), raw.url).unwrap_or_else(default),
        agent_id: check.telling(at("agent_id"), raw.agent_id),
        ca_file: authorities(at("ca_file"), raw.ca_file, check),
    };
    if !is_websocket(&elevenlabs.url) {
        check.refuse(at("url"), written.as_ref(), WEBSOCKET);
    }
    elevenlabs
}

/// Whether it is the address of a WebSocket to which a query can be added.
pub(super) fn is_websocket(url: &str) -> bool {
    (url.starts_with("wss://") || url.starts_with("ws://")) && !url.contains(['?', '#', ' '])
}

fn local(raw: RawLocal, check: &mut Check<'_>) -> Local {
    let at = |key| Place { section: "local", key };
    check.unknown("local", &raw.unknown, RawLocal::KEYS);
    let written = raw.language.clone();
    let local = Local {
        models_dir: check.text(at("models_dir"), raw.models_dir).map_or_else(crate::models::default_dir, PathBuf::from),
        threads: threads(at("threads"), raw.threads, check),
        language: check.text(at("language"), raw.language).unwrap_or_else(|| "pt-BR".to_owned()),
    };
    if let Err(problem) = secretary::language_tag(&local.language).and_then(|()| secretaries::spoken(&local.language)) {
        check.refuse(at("language"), written.as_ref(), problem);
    }
    local
}

/// 0 is one per core.
fn threads(place: Place<'_>, value: Option<Value>, check: &mut Check<'_>) -> Option<u32> {
    check.integer(place, value, 0..=256).filter(|threads| *threads > 0)
}

fn call(raw: RawCall, check: &mut Check<'_>) -> Call {
    let at = |key| Place { section: "call", key };
    check.unknown("call", &raw.unknown, RawCall::KEYS);
    let bye = check.integer(at("bye_after_transfer_ms"), raw.bye_after_transfer_ms, 0..=60_000).unwrap_or(1_000);
    let mut short = |key, value, default| {
        Duration::from_millis(check.integer(at(key), value, 100..=60_000).unwrap_or(default).into())
    };
    let replacement = short("replacement_deadline_ms", raw.replacement_deadline_ms, 3_000);
    let filler = short("filler_after_ms", raw.filler_after_ms, 1_500);
    let answer = short("answer_deadline_ms", raw.answer_deadline_ms, 8_000);
    let written = raw.fallback_extension.clone();
    let fallback_extension = check.text(at("fallback_extension"), raw.fallback_extension);
    if let Some(Err(problem)) = fallback_extension.as_deref().map(secretary::destination) {
        check.refuse(at("fallback_extension"), written.as_ref(), problem);
    }
    let mut deadline = |key, value, default| seconds(check.integer(at(key), value, 1..=600).unwrap_or(default));
    let ready = deadline("ready_deadline_s", raw.ready_deadline_s, 8);
    Call {
        ladder: Patiences { ready, replacement, filler, answer },
        announce_deadline: deadline("announce_deadline_s", raw.announce_deadline_s, 10),
        notify_deadline: deadline("notify_deadline_s", raw.notify_deadline_s, 45),
        bye_after_transfer: Duration::from_millis(bye.into()),
        farewell_deadline: deadline("farewell_deadline_s", raw.farewell_deadline_s, 8),
        menu_deadline: deadline("menu_deadline_s", raw.menu_deadline_s, 10),
        max_queued: deadline("max_queued_s", raw.max_queued_s, 180),
        drain: deadline("drain_s", raw.drain_s, 30),
        fallback_extension,
    }
}

fn media(raw: RawMedia, check: &mut Check<'_>) -> Media {
    let at = |key| Place { section: "media", key };
    check.unknown("media", &raw.unknown, RawMedia::KEYS);
    let window = check.integer(at("reorder_window_ms"), raw.reorder_window_ms, 0..=500).unwrap_or(40);
    Media {
        threads: threads(at("threads"), raw.threads, check),
        reorder_window: Duration::from_millis(window.into()),
        inband_dtmf: check.flag(at("inband_dtmf"), raw.inband_dtmf).unwrap_or(false),
        noise_suppression: check.flag(at("noise_suppression"), raw.noise_suppression).unwrap_or(false),
        vad: detector::engine(at("vad"), raw.vad, check).unwrap_or(vad::Engine::Silero),
        echo: detector::echo(at("echo"), raw.echo, check).unwrap_or(echo::Policy::Mute),
    }
}

fn log(raw: RawLog, check: &mut Check<'_>) -> Log {
    let at = |key| Place { section: "log", key };
    check.unknown("log", &raw.unknown, RawLog::KEYS);
    let written = raw.level.clone();
    let level = check.text(at("level"), raw.level).unwrap_or_else(|| "info".to_owned());
    if level.parse::<EnvFilter>().is_err() || !level.split(',').all(is_level_or_directive) {
        let allowed = "must be off, error, warn, info, debug, trace or directives like \"info,ramal::call=debug\"";
        check.refuse(at("level"), written.as_ref(), allowed);
    }
    let keep_days = check.integer(at("keep_days"), raw.keep_days, 1..=3_650).unwrap_or(30);
    let domains = check.telling(at("domains"), raw.domains);
    let domains = domains.map(|directory| DomainLogs { directory: directory.into(), keep_days });
    Log { level, json: check.flag(at("json"), raw.json).unwrap_or(false), domains }
}

/// `EnvFilter` takes any bare word for the name of a module; here it is a misspelt level.
fn is_level_or_directive(piece: &str) -> bool {
    let piece = piece.trim();
    let levels = ["off", "error", "warn", "info", "debug", "trace"];
    piece.contains(['=', '[', ']', '{', '}']) || levels.iter().any(|level| level.eq_ignore_ascii_case(piece))
}

fn seconds(seconds: u32) -> Duration {
    Duration::from_secs(seconds.into())
}
