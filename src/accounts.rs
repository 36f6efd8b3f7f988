//! The accounts this process registers: those of the configuration and those of the database, which come and go while
//! calls are up. What changes here touches no other account.
use crate::{config::Registration, secretary::DomainRef};
use sip::RegistrationId;
use std::{collections::BTreeMap, net::IpAddr};
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
    Database {
        /// `registration_uuid`.
        registration_uuid: Uuid,
        /// `domain_uuid`, the tenant it belongs to.
        domain_uuid: Uuid,
    },
}

impl Key {
    const fn source(&self) -> Source {
        match self {
            Self::File { .. } => Source::File,
            Self::Database { .. } => Source::Database,
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
    use crate::config::{Config, Environment, Secret};

    fn account(user: &str) -> Account {
        let text = format!("[[registrations]]\nregistrar = \"pbx.example\"\nuser = {user:?}\npassword = \"x\"\n");
        Account::of_file(Config::parse(&text, "test.toml", &Environment::default()).unwrap().registrations.remove(0))
    }

    fn row(number: u128, user: &str) -> Account {
        let key = Key::Database { registration_uuid: Uuid::from_u128(number), domain_uuid: Uuid::from_u128(1) };
        Account { key, tenant: DomainRef::Uuid(Uuid::from_u128(1)), ..account(user) }
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
}
