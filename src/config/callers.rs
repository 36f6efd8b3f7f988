//! Who may call: `[[peers]]`, and what `[sip]` says of everybody else.
use super::{
    Config, Listener, Network, Peer,
    check::{Check, Place},
    codecs, dtmf,
    raw::{RawPeer, RawSip},
    sections::SRTP,
};
use sip::{ListenerId, Policy, Rate, Strangers};
use std::{net::IpAddr, str::FromStr, time::Duration};

/// How many requests of a stranger are looked at in a row, in seconds of his rate.
const STRANGER_BURST: u32 = 10;

/// What callers get who are no peers, and how often peers may call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Callers {
    /// What strangers get.
    pub strangers: Strangers,
    /// Requests a second of one stranger that are looked at.
    pub stranger_rate: u32,
    /// Names of scanners, beside the well-known ones.
    pub scanners: Vec<String>,
    /// The realm of our challenges.
    pub realm: String,
    /// How long a nonce may be used.
    pub nonce_life: Duration,
    /// New calls a second of one peer; `None` for any number.
    pub peer_rate: Option<u32>,
    /// New calls a second of all; `None` for any number.
    pub call_rate: Option<u32>,
}

impl Config {
    /// What the SIP endpoint does with callers.
    pub fn policy(&self) -> Policy {
        let of_its_own = (0..).map(ListenerId).zip(&self.sip.listeners).filter_map(|(id, listener)| {
            let Listener { peers, strangers, .. } = listener;
            let named = |peer: &&Peer| peers.as_ref().is_none_or(|names| names.contains(&peer.name));
            let policy = self.policy_for(&self.peers.iter().filter(named).collect::<Vec<_>>());
            let policy = Policy { strangers: strangers.unwrap_or(policy.strangers), ..policy };
            (peers.is_some() || strangers.is_some()).then_some((id, policy))
        });
        Policy { listeners: of_its_own.collect(), ..self.policy_for(&self.peers.iter().collect::<Vec<_>>()) }
    }

    fn policy_for(&self, peers: &[&Peer]) -> Policy {
        let callers = &self.sip.callers;
        let calls = |per_second| Rate { per_second, burst: per_second };
        let by_address = peers.iter().filter(|peer| peer.credentials.is_none());
        let users = peers.iter().filter_map(|peer| {
            let (user, password) = peer.credentials.as_ref()?;
            let credentials = sip::auth::Credentials { user: user.clone(), password: password.expose().to_owned() };
            Some(sip::auth::User { credentials, networks: peer.addresses.clone() })
        });
        Policy {
            users: users.collect(),
            realm: callers.realm.clone(),
            nonce_life: callers.nonce_life,
            strangers: callers.strangers,
            stranger_rate: Rate {
                per_second: callers.stranger_rate,
                burst: callers.stranger_rate.saturating_mul(STRANGER_BURST),
            },
            scanners: callers.scanners.clone(),
            peer_rate: callers.peer_rate.map(calls),
            call_rate: callers.call_rate.map(calls),
            ..Policy::of(by_address.flat_map(|peer| peer.addresses.clone()).collect())
        }
    }

    /// Whose call this is: of the user who proved who he is, or of the address.
    pub fn peer(&self, user: Option<&str>, address: IpAddr) -> Option<&Peer> {
        self.peers.iter().find(|peer| match (user, &peer.credentials) {
            (Some(user), Some((name, _))) => name == user,
            (None, None) => peer.addresses.iter().any(|network| network.contains(address)),
            (Some(_), None) | (None, Some(_)) => false,
        })
    }
}

pub(super) fn callers(raw: &mut RawSip, check: &mut Check<'_>) -> Callers {
    let at = |key| Place { section: "sip", key };
    let strangers: Option<Treatment> = check.parsed(at("strangers"), raw.strangers.take(), TREATMENT);
    let rate = |written: u32| Some(written).filter(|rate| *rate > 0);
    let callers = Callers {
        strangers: strangers.map_or(Strangers::Drop, |Treatment(strangers)| strangers),
        stranger_rate: check.integer(at("stranger_rate"), raw.stranger_rate.take(), 1..=1_000).unwrap_or(2),
        scanners: check.list(at("scanners"), raw.scanners.take(), "must be texts").unwrap_or_default(),
        realm: check.telling(at("realm"), raw.realm.take()).unwrap_or_else(|| "ramal".to_owned()),
        nonce_life: Duration::from_secs(
            check.integer(at("nonce_life_s"), raw.nonce_life_s.take(), 1..=86_400).unwrap_or(60).into(),
        ),
        peer_rate: check.integer(at("peer_call_rate"), raw.peer_call_rate.take(), 0..=100_000).and_then(rate),
        call_rate: check.integer(at("call_rate"), raw.call_rate.take(), 0..=100_000).and_then(rate),
    };
    if callers.realm.chars().any(char::is_control) {
        check.refuse(at("realm"), None, "must not contain control characters");
    }
    // A name this short is in the name of many an honest phone.
    if callers.scanners.iter().any(|name| name.trim().len() < 4) {
        check.refuse(at("scanners"), None, "names must have four characters at least");
    }
    callers
}

/// What strangers get, as it is written.
pub(super) struct Treatment(pub(super) Strangers);

pub(super) const TREATMENT: &str = "must be \"drop\" or \"forbid\"";

impl FromStr for Treatment {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "drop" => Ok(Self(Strangers::Drop)),
            "forbid" => Ok(Self(Strangers::Forbid)),
            _ => Err(()),
        }
    }
}

/// Who may call when the file names nobody.
pub(super) fn loopback() -> Peer {
    let addresses = ["127.0.0.0/8", "::1"].iter().filter_map(|network| network.parse().ok()).collect();
    Peer {
        name: "loopback".into(),
        addresses,
        credentials: None,
        trusted_headers: true,
        domain: None,
        codecs: None,
        codec_order: None,
        srtp: None,
        dtmf: None,
    }
}

pub(super) fn peer(raw: RawPeer, section: &str, check: &mut Check<'_>) -> Option<Peer> {
    let at = |key| Place { section, key };
    let before = check.problems.len();
    check.unknown(section, &raw.unknown, RawPeer::KEYS);
    let allowed = "must be IP addresses or blocks, like [\"192.0.2.10\", \"10.0.0.0/8\"]";
    let addresses: Vec<Network> = check.list(at("addresses"), raw.addresses, allowed).unwrap_or_default();
    let user = check.telling(at("user"), raw.user);
    let password = check.secret(at("password"), raw.password);
    if addresses.is_empty() && user.is_none() && check.problems.len() == before {
        check.refuse(at("addresses"), None, format!("is missing, and so are user and password; {allowed}"));
    }
    if check.problems.len() == before && user.is_some() != password.is_some() {
        let missing = if user.is_some() { "password" } else { "user" };
        check.refuse(at(missing), None, "is missing: user and password belong together");
    }
    let peer = Peer {
        name: check.required(at("name"), raw.name).unwrap_or_default(),
        addresses,
        credentials: user.zip(password),
        trusted_headers: check.flag(at("trusted_headers"), raw.trusted_headers).unwrap_or(true),
        domain: check.text(at("domain"), raw.domain).map(|domain| domain.as_str().into()),
        srtp: check.parsed(at("srtp"), raw.srtp, SRTP),
        dtmf: dtmf::way(at("dtmf"), raw.dtmf, check),
        codecs: codecs::list(at("codecs"), raw.codecs, check),
        codec_order: codecs::order(at("codec_order"), raw.codec_order, check),
    };
    (check.problems.len() == before).then_some(peer)
}

/// Refuses names of peers that nobody has.
pub(super) fn known(listeners: &[Listener], peers: &[Peer], check: &mut Check<'_>) {
    for name in listeners.iter().flat_map(|listener| listener.peers.iter().flatten()) {
        if !peers.iter().any(|peer| peer.name == *name) {
            let message = format!("names {name:?}, and no [[peers]] has that name");
            check.refuse(Place { section: "listeners", key: "peers" }, None, message);
        }
    }
}

/// Refuses two peers who would prove themselves by the same name.
pub(super) fn distinct(peers: &[Peer], check: &mut Check<'_>) {
    let user = |peer: &Peer| peer.credentials.as_ref().map(|(user, _)| user.clone());
    for (index, peer) in peers.iter().enumerate() {
        if user(peer).is_some() && peers.iter().take(index).any(|other| user(other) == user(peer)) {
            let place = Place { section: &format!("peers named {}", peer.name), key: "user" };
            check.refuse(place, None, "is the user of another peer as well");
        }
    }
}
