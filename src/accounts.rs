//! The accounts this process registers: those of the configuration and those of the database, which come and go while
//! calls are up. What changes here touches no other account.
use crate::{
    config::{ConfigError, Registration},
    secretary::DomainRef,
};
use chrono::{DateTime, TimeDelta, Utc};
use sip::{RegistrationId, RegistrationState};
use std::{collections::BTreeMap, fmt, net::IpAddr};
use uuid::Uuid;

/// Where accounts are written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// `[[registrations]]`.
    File,
    /// Rows of `v_voice_registrations` of which this process has the lease.
    Database,
}

/// What tells one account from another, whatever else of it changes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// By what it registers as, and where.
    File {
        /// As configured.
        registrar: String,
        /// Of the address of record.
        domain: String,
        /// Of the address of record.
        user: String,
    },
    /// By its row.
    Database(Place),
}

/// A row of `v_voice_registrations`, and the tenant it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// `domain_uuid`.
    pub domain_uuid: Uuid,
    /// `registration_uuid`.
    pub registration_uuid: Uuid,
}

/// What is written in a row, not yet checked.
#[derive(Clone, PartialEq, Eq)]
pub struct Written {
    /// Host, host and port, or SIP URI.
    pub registrar: Option<String>,
    /// The same, or nothing.
    pub outbound_proxy: Option<String>,
    /// `udp`, `tcp`, `tls` or nothing.
    pub transport: Option<String>,
    /// Of the address of record.
    pub domain: Option<String>,
    /// Of the address of record.
    pub user: Option<String>,
    /// Of the digest.
    pub auth_user: Option<String>,
    /// Of the digest, as it is: rows may be edited by tenants, who must not read files of ours through it.
    pub password: Option<String>,
    /// User part of our Contact.
    pub contact_user: Option<String>,
    /// Seconds.
    pub expires_s: Option<i32>,
    /// `off`, `required` or nothing.
    pub srtp: Option<String>,
    /// Names with commas between them, the preferred first, or nothing.
    pub codecs: Option<String>,
    /// `theirs`, `ours` or nothing.
    pub codec_order: Option<String>,
    /// `auto`, `rfc4733`, `info`, `inband` or nothing.
    pub dtmf: Option<String>,
    /// Seconds; 0 or nothing for never.
    pub ping_s: Option<i32>,
}

impl fmt::Debug for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Written({:?} at {:?})", self.user, self.registrar)
    }
}

/// How an account stands, as it is noted in its row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// `looking`, `trying`, `registered`, `failed` or `invalid`.
    pub state: &'static str,
    /// The last final status, if there was one.
    pub status_code: Option<u16>,
    /// When the registrar is asked next.
    pub next_at: Option<DateTime<Utc>>,
}

impl Standing {
    /// Of a row that cannot be used.
    pub const fn invalid() -> Self {
        Self { state: "invalid", status_code: None, next_at: None }
    }

    /// As the endpoint says at this time; it knows nothing of one whose registrar has no address yet.
    pub fn of(standing: Option<&sip::Standing>, now: DateTime<Utc>) -> Self {
        let Some(standing) = standing else { return Self { state: "looking", status_code: None, next_at: None } };
        let (state, status_code) = match standing.state {
            RegistrationState::Trying => ("trying", None),
            RegistrationState::Registered { .. } => ("registered", Some(200)),
            RegistrationState::Failed { status, .. } => ("failed", Some(status)),
            RegistrationState::Removed => ("removed", None),
        };
        let next_at = standing.next_in.and_then(|wait| Some(now + TimeDelta::from_std(wait).ok()?));
        Self { state, status_code, next_at }
    }

    /// Whether it is worth another row update: the next time moves with each look by what the look took.
    pub fn differs(&self, noted: &Self) -> bool {
        let moved = match (self.next_at, noted.next_at) {
            (Some(now), Some(then)) => (now - then).abs() > TimeDelta::seconds(2),
            (None, None) => false,
            (Some(_), None) | (None, Some(_)) => true,
        };
        moved || (self.state, self.status_code) != (noted.state, noted.status_code)
    }
}

impl Key {
    const fn source(&self) -> Source {
        match self {
            Self::File { .. } => Source::File,
            Self::Database(_) => Source::Database,
        }
    }
}

/// One account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Which.
    pub key: Key,
    /// Whose calls come through it.
    pub tenant: DomainRef,
    /// What is registered, and with whom.
    pub registration: Registration,
}

impl Account {
    /// An account of the configuration: its tenant is its domain.
    pub fn of_file(registration: Registration) -> Self {
        let key = Key::File {
            registrar: registration.registrar.to_string(),
            domain: registration.domain.clone(),
            user: registration.user.clone(),
        };
        Self { key, tenant: DomainRef::from(registration.domain.as_str()), registration }
    }

    /// An account of the database: its tenant is the row's, whatever domain it registers as.
    ///
    /// # Errors
    /// What is wrong with the row, column by column.
    pub fn of_row(place: Place, written: Written) -> Result<Self, ConfigError> {
        let registration = Registration::of_row(written)?;
        Ok(Self { key: Key::Database(place), tenant: DomainRef::Uuid(place.domain_uuid), registration })
    }

    /// Whether both keep the same binding at the same registrar: then one takes the place of the other without a word.
    fn binds_like(&self, other: &Self) -> bool {
        let binding = |account: &Self| {
            let Registration { registrar, outbound_proxy, domain, user, contact_user, .. } = &account.registration;
            (registrar.clone(), outbound_proxy.clone(), domain.clone(), user.clone(), contact_user.clone())
        };
        binding(self) == binding(other)
    }
}

/// An account that runs, and what is known of its registrar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registrar {
    /// The account.
    pub account: Account,
    /// The registrar's addresses; none while its name has none.
    pub addresses: Vec<IpAddr>,
}

/// All that run, by their number. A number is never used again.
pub type Known = BTreeMap<RegistrationId, Registrar>;

/// What an account needs for being as it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is new, or another binding than before.
    Start(RegistrationId),
    /// The same binding with another password, expiry or the like.
    Restart(RegistrationId),
    /// It is not wanted any more, and the registrar must be told.
    Stop(RegistrationId),
}

/// Turns what runs into what is wanted of one source; those of the other stay. `next` is the first free number. The
/// changes are in the order in which they are to be made: an old binding goes before a new one comes.
pub fn apply(running: &mut Known, next: &mut u32, source: Source, wanted: Vec<Account>) -> Vec<Change> {
    let mut wanted: BTreeMap<Key, Account> = wanted.into_iter().map(|account| (account.key.clone(), account)).collect();
    let mut changes = Vec::new();
    running.retain(|id, registrar| {
        let old = &mut registrar.account;
        if old.key.source() != source {
            return true;
        }
        match wanted.get(&old.key) {
            Some(new) if old.binds_like(new) => {
                if old != new {
                    old.clone_from(new);
                    changes.push(Change::Restart(*id));
                }
                wanted.remove(&old.key.clone());
                true
            }
            Some(_) | None => {
                changes.push(Change::Stop(*id));
                false
            }
        }
    });
    for account in wanted.into_values() {
        let id = RegistrationId(*next);
        *next += 1;
        running.insert(id, Registrar { account, addresses: Vec::new() });
        changes.push(Change::Start(id));
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{Config, Environment, Secret, Srtp},
        dtmf::Dtmf,
    };
    use media::{codec::Codec, sdp::Preference};
    use std::time::Duration;

    fn account(user: &str) -> Account {
        let text = format!("[[registrations]]\nregistrar = \"pbx.example\"\nuser = {user:?}\npassword = \"x\"\n");
        Account::of_file(Config::parse(&text, "test.toml", &Environment::default()).unwrap().registrations.remove(0))
    }

    fn row(number: u128, user: &str) -> Account {
        let place = Place { registration_uuid: Uuid::from_u128(number), domain_uuid: Uuid::from_u128(1) };
        Account { key: Key::Database(place), tenant: DomainRef::Uuid(place.domain_uuid), ..account(user) }
    }

    const fn id(number: u32) -> RegistrationId {
        RegistrationId(number)
    }

    #[test]
    fn accounts_come_change_and_go_without_touching_others() {
        let (mut running, mut next) = (Known::new(), 0);
        let mut go = |source, wanted| apply(&mut running, &mut next, source, wanted);
        assert_eq!(go(Source::File, vec![account("1"), account("2")]), [Change::Start(id(0)), Change::Start(id(1))]);
        assert_eq!(go(Source::Database, vec![row(7, "7")]), [Change::Start(id(2))]);
        assert_eq!(go(Source::File, vec![account("1"), account("2")]), [], "nothing changed");
        let mut other = account("2");
        other.registration.password = Secret::new("y");
        assert_eq!(go(Source::File, vec![account("1"), other]), [Change::Restart(id(1))]);
        assert_eq!(go(Source::File, vec![account("1")]), [Change::Stop(id(1))]);
        assert_eq!(go(Source::Database, vec![row(7, "8")]), [Change::Stop(id(2)), Change::Start(id(3))]);
        assert_eq!(go(Source::Database, vec![]), [Change::Stop(id(3))]);
        assert_eq!(go(Source::File, vec![account("1"), account("2")]), [Change::Start(id(4))], "no number twice");
        assert_eq!(running.keys().copied().collect::<Vec<_>>(), [id(0), id(4)]);
    }

    fn written() -> Written {
        Written {
            registrar: Some("pbx.example".into()),
            outbound_proxy: None,
            transport: Some("tcp".into()),
            domain: Some("acme.example".into()),
            user: Some("2000".into()),
            auth_user: Some(String::new()),
            password: Some("file:/etc/passwd".into()),
            contact_user: None,
            expires_s: None,
            srtp: None,
            codecs: None,
            codec_order: None,
            dtmf: None,
            ping_s: None,
        }
    }

    #[test]
    fn a_row_is_an_account_of_its_tenant_and_its_password_is_what_it_says() {
        let place = Place { registration_uuid: Uuid::from_u128(7), domain_uuid: Uuid::from_u128(1) };
        let account = Account::of_row(place, written()).unwrap();
        assert_eq!(account.tenant, DomainRef::Uuid(place.domain_uuid));
        let Registration { registrar, domain, auth_user, contact_user, password, expires, .. } = account.registration;
        assert_eq!(registrar.to_string(), "sip:pbx.example;transport=tcp");
        assert_eq!((domain.as_str(), auth_user.as_str(), contact_user.as_str()), ("acme.example", "2000", "2000"));
        assert_eq!((password.expose(), expires.as_secs()), ("file:/etc/passwd", 300), "no file is read for a row");
        let policy =
            Written { srtp: Some("required".into()), dtmf: Some("info".into()), ping_s: Some(30), ..written() };
        let policy = Account::of_row(place, policy).unwrap().registration;
        assert_eq!((policy.srtp, policy.dtmf), (Some(Srtp::Required), Some(Dtmf::Info)));
        assert_eq!(policy.ping, Some(Duration::from_secs(30)));
        let wide = Written { codecs: Some("opus, g722".into()), codec_order: Some("ours".into()), ..written() };
        let wide = Account::of_row(place, wide).unwrap().registration;
        assert_eq!(wide.codecs, Some(vec![Codec::Opus, Codec::G722]));
        assert_eq!(wide.codec_order, Some(Preference::Ours));
        let silent = Written { srtp: Some(String::new()), codecs: Some(" ".into()), ping_s: Some(0), ..written() };
        let silent = Account::of_row(place, silent).unwrap().registration;
        assert_eq!((silent.srtp, silent.codecs, silent.ping), (None, None, None));
        for (row, wrong) in [
            (Written { registrar: Some("a b".into()), ..written() }, "v_voice_registrations.registrar"),
            (Written { password: Some(String::new()), ..written() }, "v_voice_registrations.password"),
            (Written { expires_s: Some(-1), ..written() }, "v_voice_registrations.expires_s"),
            (Written { srtp: Some("maybe".into()), ..written() }, "v_voice_registrations.srtp"),
            (Written { codecs: Some("opus,g729".into()), ..written() }, "v_voice_registrations.codecs"),
            (Written { codec_order: Some("mine".into()), ..written() }, "v_voice_registrations.codec_order"),
            (Written { dtmf: Some("sip".into()), ..written() }, "v_voice_registrations.dtmf"),
            (Written { ping_s: Some(3), ..written() }, "v_voice_registrations.ping_s"),
            (Written { user: None, ..written() }, "v_voice_registrations.user"),
        ] {
            let error = Account::of_row(place, row).unwrap_err().to_string();
            assert!(error.contains(wrong) && !error.contains("passwd"), "{error}");
        }
    }

    #[test]
    fn a_standing_is_noted_when_it_says_something_new() {
        let now = DateTime::UNIX_EPOCH;
        let at = |seconds| Some(now + TimeDelta::seconds(seconds));
        let registered = |next_at| Standing { state: "registered", status_code: Some(200), next_at };
        assert!(!registered(at(100)).differs(&registered(at(101))));
        assert!(registered(at(100)).differs(&registered(at(200))));
        assert!(registered(at(100)).differs(&registered(None)));
        assert!(registered(None).differs(&Standing { status_code: Some(403), ..registered(None) }));
        assert_eq!(Standing::of(None, now).state, "looking");
    }
}
