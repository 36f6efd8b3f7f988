//! Digest authentication as a server (RFC 3261 §22, RFC 7616, RFC 8760): challenges that are kept nowhere, and proofs.
use super::{
    Credentials, Hash,
    challenge::digests,
    hash::{self, Proven, hex},
};
use crate::{
    guard::Network,
    message::{Name, Params, Request, lex},
    uri::Uri,
};
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeMap,
    net::IpAddr,
    time::{Duration, Instant},
};
use subtle::ConstantTimeEq;

/// What we offer, our favourite first, with the names of RFC 8760 §2.2.
const OFFERED: [(Hash, &str); 2] = [(Hash::Sha256, "SHA-256"), (Hash::Md5, "MD5")];
/// Nonces whose uses are remembered; the oldest is forgotten, and is stale from then on.
const NONCES: usize = 8_192;
/// Hexadecimal digits of a nonce: when it was made and its number, then what proves that we made it.
const STAMP: usize = 28;
const SEAL: usize = 32;

/// Somebody who may prove who he is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Name and password.
    pub credentials: Credentials,
    /// From where only; empty for everywhere.
    pub networks: Vec<Network>,
}

/// What a request proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// It is from this user.
    Given(String),
    /// The password is right, but the nonce has aged or was used: another challenge, at once.
    Stale,
    /// Nobody knows that user here, or the password is wrong: which of them shows nowhere, in no time either.
    Wrong,
    /// It brings none for this realm.
    Missing,
}

/// A realm of ours: its users and its nonces.
#[derive(Debug)]
pub(crate) struct Realm {
    name: String,
    users: BTreeMap<String, Account>,
    /// Whom unknown users are compared with.
    nobody: Account,
    nonces: Nonces,
}

#[derive(Debug)]
struct Account {
    /// `H(A1)` for each of [`OFFERED`].
    secrets: [String; 2],
    networks: Vec<Network>,
}

impl Account {
    fn new(realm: &str, user: &User) -> Self {
        let Credentials { user: name, password } = &user.credentials;
        let secrets = OFFERED.map(|(hash, _)| hash::secret(hash, name, realm, password));
        Self { secrets, networks: user.networks.clone() }
    }

    fn may_come_from(&self, source: IpAddr) -> bool {
        self.networks.is_empty() || self.networks.iter().any(|network| network.contains(source))
    }
}

impl Realm {
    /// A realm whose nonces live this long and come from this seed.
    pub(crate) fn new(name: &str, users: &[User], life: Duration, seed: u64) -> Self {
        let key: [u8; 32] = Sha256::new().chain_update("nonces").chain_update(seed.to_be_bytes()).finalize().into();
        let account = |user: &User| (user.credentials.user.clone(), Account::new(name, user));
        let nobody = Credentials { user: String::new(), password: hex(&key) };
        Self {
            name: name.to_owned(),
            users: users.iter().map(account).collect(),
            nobody: Account::new(name, &User { credentials: nobody, networks: Vec::new() }),
            nonces: Nonces { key, life, began: None, made: 0, used: BTreeMap::new(), forgotten: Stamp::default() },
        }
    }

    /// Whether anybody could prove himself from there.
    pub(crate) fn may_ask(&self, source: IpAddr) -> bool {
        self.users.values().any(|account| account.may_come_from(source))
    }

    /// Whether somebody is expected from this very address.
    pub(crate) fn expects(&self, source: IpAddr) -> bool {
        self.users.values().any(|account| !account.networks.is_empty() && account.may_come_from(source))
    }

    /// Values of the WWW-Authenticate headers of a 401: one for each algorithm, the favourite first (RFC 8760 §2.3).
    pub(crate) fn challenges(&mut self, stale: bool, now: Instant) -> [String; 2] {
        let (realm, nonce) = (lex::quote(&self.name), self.nonces.make(now));
        let stale = if stale { ", stale=true" } else { "" };
        OFFERED.map(|(_, algorithm)| {
            format!("Digest realm={realm}, nonce=\"{nonce}\", algorithm={algorithm}, qop=\"auth\"{stale}")
        })
    }

    /// What a request from there proves. Each nonce may be used again, its count rising, until it has aged.
    pub(crate) fn verify(&mut self, request: &Request, source: IpAddr, now: Instant) -> Proof {
        let answers = request.headers.all(Name::Authorization).flat_map(digests);
        let ours = |answer: &Params| answer.unquoted("realm").as_deref() == Some(&self.name);
        let Some(answer) = answers.into_iter().find(ours) else { return Proof::Missing };
        let Some(claim) = Claim::read(&answer) else { return Proof::Wrong };
        let account = self.users.get(&claim.user).filter(|account| account.may_come_from(source));
        let secrets = &account.unwrap_or(&self.nobody).secrets;
        let Some(((hash, _), secret)) = OFFERED.iter().zip(secrets).find(|((_, name), _)| claim.is_by(name)) else {
            return Proof::Wrong;
        };
        let proven = Proven {
            nonce: &claim.nonce,
            uses: Some((&claim.nc, &claim.cnonce)),
            method: request.method.as_str(),
            uri: &claim.uri,
        };
        let response = hash::response(*hash, secret, proven);
        let same = bool::from(response.as_bytes().ct_eq(claim.response.as_bytes()));
        let meant =
            claim.uri == request.uri.as_str() || Uri::parse(&claim.uri).is_ok_and(|uri| uri.equivalent(&request.uri));
        if account.is_none() || !same || !meant {
            return Proof::Wrong;
        }
        let count = u32::from_str_radix(&claim.nc, 16).unwrap_or_default();
        if self.nonces.accept(&claim.nonce, count, now) { Proof::Given(claim.user) } else { Proof::Stale }
    }
}

/// An answer to a challenge of ours, with all it must have (RFC 7616 §3.4; we always offer qop, so it has one).
struct Claim {
    user: String,
    nonce: String,
    uri: String,
    /// Lower case.
    response: String,
    algorithm: String,
    nc: String,
    cnonce: String,
}

impl Claim {
    fn read(answer: &Params) -> Option<Self> {
        let text = |name| answer.unquoted(name);
        if !text("qop")?.eq_ignore_ascii_case("auth") {
            return None;
        }
        Some(Self {
            user: text("username")?,
            nonce: text("nonce")?,
            uri: text("uri")?,
            response: text("response")?.to_ascii_lowercase(),
            algorithm: text("algorithm").unwrap_or_else(|| "MD5".to_owned()),
            nc: text("nc")?,
            cnonce: text("cnonce")?,
        })
    }

    fn is_by(&self, algorithm: &str) -> bool {
        self.algorithm.eq_ignore_ascii_case(algorithm)
    }
}

/// When a nonce was made (milliseconds since the first) and its number: in order of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Stamp {
    ms: u64,
    number: u64,
}

/// Nonces carry their own proof, so that a challenge costs no memory; only those used successfully are remembered.
#[derive(Debug)]
struct Nonces {
    key: [u8; 32],
    life: Duration,
    began: Option<Instant>,
    made: u64,
    /// The last `nc` of each nonce in use.
    used: BTreeMap<Stamp, u32>,
    /// Everything up to here is stale, though it may be younger than `life`.
    forgotten: Stamp,
}

impl Nonces {
    fn make(&mut self, now: Instant) -> String {
        self.made += 1;
        let stamp = format!("{:012x}{:016x}", self.clock(now), self.made);
        let seal = self.seal(&stamp);
        stamp + &seal
    }

    /// A keyed hash of text of one length, cut in half: it cannot be extended, and it is not to be guessed.
    fn seal(&self, stamp: &str) -> String {
        let mut seal = hex(&Sha256::new().chain_update(self.key).chain_update(stamp).finalize());
        seal.truncate(SEAL);
        seal
    }

    /// Whether the nonce is ours, is young enough, and was never used with this count or a higher one.
    fn accept(&mut self, nonce: &str, count: u32, now: Instant) -> bool {
        let clock = self.clock(now);
        let life = u64::try_from(self.life.as_millis()).unwrap_or(u64::MAX);
        let Some(stamp) = self.read(nonce) else { return false };
        if stamp <= self.forgotten || clock.saturating_sub(stamp.ms) > life {
            return false;
        }
        self.forget_before(clock.saturating_sub(life));
        let last = self.used.entry(stamp).or_default();
        if count <= *last {
            return false;
        }
        *last = count;
        if self.used.len() > NONCES
            && let Some((oldest, _)) = self.used.pop_first()
        {
            self.forgotten = oldest;
        }
        true
    }

    fn read(&self, nonce: &str) -> Option<Stamp> {
        let (stamp, seal) = nonce.split_at_checked(STAMP)?;
        let (ms, made) = stamp.split_at_checked(12)?;
        let sealed = bool::from(self.seal(stamp).as_bytes().ct_eq(seal.as_bytes()));
        let number = |text| u64::from_str_radix(text, 16).ok();
        sealed.then_some(())?;
        Some(Stamp { ms: number(ms)?, number: number(made)? })
    }

    fn forget_before(&mut self, ms: u64) {
        while self.used.first_key_value().is_some_and(|(stamp, _)| stamp.ms < ms) {
            self.used.pop_first();
        }
    }

    fn clock(&mut self, now: Instant) -> u64 {
        let began = *self.began.get_or_insert(now);
        u64::try_from(now.saturating_duration_since(began).as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        auth::Session,
        endpoint::random::Random,
        message::{Method, Response, StatusCode},
        transaction::timer::epoch,
    };

    const LIFE: Duration = Duration::from_secs(60);

    fn user(name: &str, networks: &[&str]) -> User {
        let credentials = Credentials { user: name.into(), password: "s3cret".into() };
        User { credentials, networks: networks.iter().map(|network| network.parse().unwrap()).collect() }
    }

    fn realm() -> Realm {
        Realm::new("pbx.example", &[user("ramal", &[]), user("desk", &["192.0.2.0/24"])], LIFE, 7)
    }

    fn request(cseq: u32) -> Request {
        let mut request = Request::new(Method::Invite, Uri::parse("sip:8000@198.51.100.1").unwrap());
        request.headers.push(Name::CSeq, format!("{cseq} INVITE"));
        request
    }

    fn source() -> IpAddr {
        "203.0.113.9".parse().unwrap()
    }

    /// Our own client with this name and password, challenged by the realm.
    fn challenged(realm: &mut Realm, user: &str, password: &str, favourite: usize, now: Instant) -> Session {
        let mut response = Response::answering(&request(1).headers, StatusCode::UNAUTHORIZED);
        for challenge in realm.challenges(false, now).iter().skip(favourite) {
            response.headers.push(Name::WwwAuthenticate, challenge);
        }
        let mut session = Session::default();
        let us = Credentials { user: user.into(), password: password.into() };
        assert!(session.learn(&response, |_| Some(us)));
        session
    }

    fn proof(session: &mut Session, cseq: u32) -> Request {
        let mut request = request(cseq);
        session.authorize(&mut request, &mut Random::new(3));
        request
    }

    #[test]
    fn sha_256_is_offered_first_and_md5_is_taken_too() {
        let (mut realm, now) = (realm(), epoch());
        let [sha, md5] = realm.challenges(true, now);
        assert!(sha.contains("algorithm=SHA-256, qop=\"auth\", stale=true"), "{sha}");
        assert!(md5.starts_with("Digest realm=\"pbx.example\", nonce=\"") && md5.contains("algorithm=MD5"), "{md5}");
        for favourite in [0, 1] {
            let mut session = challenged(&mut realm, "ramal", "s3cret", favourite, now);
            let invite = proof(&mut session, 2);
            assert_eq!(realm.verify(&invite, source(), now), Proof::Given("ramal".into()));
        }
        assert_eq!(realm.verify(&request(1), source(), now), Proof::Missing);
    }

    /// A response computed outside this program, by the formulas of RFC 7616 §3.4, for a nonce of this seed.
    #[test]
    fn a_proof_made_elsewhere_is_understood() {
        let (mut realm, now) = (realm(), epoch());
        let nonce = realm.nonces.make(now);
        assert_eq!(nonce, NONCE);
        let answer = |response: &str, more: &str| {
            let mut invite = request(1);
            let value = format!(
                "Digest username=\"ramal\", realm=\"pbx.example\", nonce=\"{NONCE}\", uri=\"sip:8000@198.51.100.1\", \
                 response=\"{response}\", qop=auth, nc=00000001, cnonce=\"c1\"{more}"
            );
            invite.headers.push(Name::Authorization, value);
            invite
        };
        let md5 = answer(MD5, "");
        assert_eq!(realm.verify(&md5, source(), now), Proof::Given("ramal".into()));
        let sha = answer(&SHA256.to_uppercase(), ", algorithm=SHA-256");
        assert_eq!(realm.verify(&sha, source(), now), Proof::Stale, "that count was used");
        assert_eq!(realm.verify(&answer(SHA256, ""), source(), now), Proof::Wrong);
        assert_eq!(realm.verify(&answer(MD5, ", algorithm=MD5-sess"), source(), now), Proof::Wrong);
    }

    const NONCE: &str = "000000000000000000000000000136b725ad4ec690aecc63c2315ab918b0";
    const MD5: &str = "0479eb6cc498688d7e5ca70ded721480";
    const SHA256: &str = "193d1a4c3ac2e4a6bbcbca139cc96778f39adc85095b5e98af9af80eff4c94d1";

    #[test]
    fn a_wrong_password_an_unknown_user_and_a_wrong_place_are_the_same() {
        let (mut realm, now) = (realm(), epoch());
        for (user, password) in [("ramal", "guess"), ("nobody", "s3cret"), ("desk", "s3cret")] {
            let invite = proof(&mut challenged(&mut realm, user, password, 0, now), 2);
            assert_eq!(realm.verify(&invite, source(), now), Proof::Wrong, "{user}");
        }
        let invite = proof(&mut challenged(&mut realm, "desk", "s3cret", 0, now), 2);
        assert_eq!(realm.verify(&invite, "192.0.2.7".parse().unwrap(), now), Proof::Given("desk".into()));
        // The answer is bound to method and URI.
        let mut invite = proof(&mut challenged(&mut realm, "ramal", "s3cret", 0, now), 2);
        invite.method = Method::Options;
        assert_eq!(realm.verify(&invite, source(), now), Proof::Wrong);
        let mut invite = proof(&mut challenged(&mut realm, "ramal", "s3cret", 0, now), 2);
        invite.uri = Uri::parse("sip:9000@198.51.100.1").unwrap();
        assert_eq!(realm.verify(&invite, source(), now), Proof::Wrong);
    }

    #[test]
    fn a_nonce_may_be_used_again_but_no_count_twice() {
        let (mut realm, now) = (realm(), epoch());
        let mut session = challenged(&mut realm, "ramal", "s3cret", 0, now);
        let (first, second) = (proof(&mut session, 2), proof(&mut session, 3));
        assert_eq!(realm.verify(&first, source(), now), Proof::Given("ramal".into()));
        assert_eq!(realm.verify(&second, source(), now), Proof::Given("ramal".into()));
        assert_eq!(realm.verify(&second, source(), now), Proof::Stale, "heard by somebody and played again");
        assert_eq!(realm.verify(&first, source(), now), Proof::Stale);
    }

    #[test]
    fn nonces_age_and_nobody_else_can_make_one() {
        let (mut realm, now) = (realm(), epoch());
        let mut session = challenged(&mut realm, "ramal", "s3cret", 0, now);
        let at_last = proof(&mut session, 2);
        assert_eq!(realm.verify(&at_last, source(), now + LIFE), Proof::Given("ramal".into()));
        let late = proof(&mut session, 3);
        assert_eq!(realm.verify(&late, source(), now + LIFE + Duration::from_millis(1)), Proof::Stale);
        // Another server's, or ours before it was started again.
        let mut other = Realm::new("pbx.example", &[user("ramal", &[])], LIFE, 8);
        let invite = proof(&mut challenged(&mut other, "ramal", "s3cret", 0, now), 2);
        assert_eq!(realm.verify(&invite, source(), now), Proof::Stale);
        for nonce in ["", "x", "é".repeat(30).as_str(), "f".repeat(60).as_str()] {
            assert!(!realm.nonces.accept(nonce, 1, now), "{nonce}");
        }
    }

    #[test]
    fn nonces_in_use_are_bounded_and_none_can_be_played_again() {
        let (mut realm, now) = (realm(), epoch());
        let first = realm.nonces.make(now);
        assert!(realm.nonces.accept(&first, 1, now));
        for _ in 0..NONCES {
            let nonce = realm.nonces.make(now);
            assert!(realm.nonces.accept(&nonce, 1, now));
        }
        assert_eq!(realm.nonces.used.len(), NONCES);
        assert!(!realm.nonces.accept(&first, 1, now), "forgotten, so not to be trusted");
        assert!(!realm.nonces.accept(&first, 2, now));
        let later = now + LIFE + LIFE;
        let nonce = realm.nonces.make(later);
        assert!(realm.nonces.accept(&nonce, 1, later));
        assert_eq!(realm.nonces.used.len(), 1, "aged ones are let go");
    }
}
