//! Accounts of the database: which of them this node has, and how they stand.
//!
//! Of several nodes one has an account, for as long as it renews its lease; another takes it when it does not. A
//! database that is away changes nothing: what is registered stays registered, since nobody else could take it either.
use super::{registrars::Order, sip_socket::Request, tap::Look};
use crate::{
    accounts::{Account, Key, Known, Place, Source, Standing, Written},
    store::{Lease, Store},
};
use chrono::{DateTime, TimeDelta, Utc};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{sleep, timeout},
};
use tracing::{info, warn};

/// How often the table is read, leases renewed and standings noted.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// How long a lease lasts that is not renewed: several looks, so that one lost to a slow database costs nothing.
const LEASE: TimeDelta = TimeDelta::seconds(45);

/// How long the SIP task may take to say how registrations stand.
const ANSWER: Duration = Duration::from_secs(2);

/// What the task needs.
#[derive(Debug)]
pub struct Leases {
    /// Where the accounts are.
    pub store: Arc<dyn Store>,
    /// This node, by a name that no other has and that a restart keeps.
    pub owner: String,
    /// Who registers them.
    pub registrars: mpsc::Sender<Order>,
    /// What runs.
    pub known: watch::Receiver<Known>,
    /// Who knows how they stand.
    pub sip: mpsc::WeakSender<Request>,
}

/// The accounts this node has, and what was last noted in their rows.
#[derive(Debug, Default)]
pub struct Held(BTreeMap<Place, Option<Standing>>);

impl Held {
    /// Lets other nodes have them, once they are registered no more.
    pub async fn release(self, store: &dyn Store, owner: &str) {
        for place in self.0.into_keys() {
            if let Err(error) = store.release(place, owner).await {
                // They end by themselves.
                return warn!(%error, "leases of registrations are not given back");
            }
        }
    }
}

impl Leases {
    /// Looks after the accounts until `stop` turns true. Returns those it has then.
    pub async fn run(self, mut stop: watch::Receiver<bool>) -> Held {
        let mut held = Held::default();
        let mut away = false;
        loop {
            match self.store.registrations().await {
                Ok(rows) => {
                    self.look(rows, &mut held).await;
                    away = false;
                }
                Err(error) if !away => {
                    warn!(%error, "accounts of the database cannot be read: those that are registered stay so");
                    away = true;
                }
                Err(_) => {}
            }
            tokio::select! {
                () = sleep(LOOK_AGAIN) => {}
                _ = stop.wait_for(|stop| *stop) => return held,
            }
        }
    }

    async fn look(&self, rows: Vec<(Place, Written)>, held: &mut Held) {
        let mut before = std::mem::take(&mut held.0);
        let mut accounts = Vec::new();
        for (place, written) in rows {
            let noted = before.remove(&place);
            if !self.has(place, noted.is_some()).await {
                continue;
            }
            let mut noted = noted.unwrap_or_default();
            match Account::of_row(place, written) {
                Ok(account) => accounts.push(account),
                Err(error) => self.note(place, Standing::invalid(), &mut noted, &error.to_string()).await,
            }
            held.0.insert(place, noted);
        }
        // Whoever stops the task of the registrars has no use for the accounts.
        let _ = self.registrars.send(Order::Apply(Source::Database, accounts)).await;
        Held(before).release(&*self.store, &self.owner).await;
        self.note_standings(held).await;
    }

    /// Whether this node has the account from here on. Without an answer things stay as they are.
    async fn has(&self, place: Place, had: bool) -> bool {
        let now = Utc::now();
        let lease = Lease { owner: &self.owner, now, until: now + LEASE };
        let has = self.store.lease(place, lease).await.unwrap_or(had);
        if has != had {
            let Place { domain_uuid, registration_uuid } = place;
            info!(%domain_uuid, %registration_uuid, "{} an account", if has { "Took" } else { "Another node has" });
        }
        has
    }

    async fn note_standings(&self, held: &mut Held) {
        let Some(standings) = self.standings().await else { return };
        let now = Utc::now();
        for (place, standing) in self.by_place(&standings, now) {
            if let Some(noted) = held.0.get_mut(&place) {
                self.note(place, standing, noted, "").await;
            }
        }
    }

    fn by_place(&self, standings: &[sip::Standing], now: DateTime<Utc>) -> Vec<(Place, Standing)> {
        let known = self.known.borrow();
        let of_database = known.iter().filter_map(|(id, registrar)| match registrar.account.key {
            Key::Database(place) => Some((*id, place)),
            Key::File { .. } => None,
        });
        let standing = |id| Standing::of(standings.iter().find(|standing| standing.id == id), now);
        of_database.map(|(id, place)| (place, standing(id))).collect()
    }

    async fn standings(&self) -> Option<Vec<sip::Standing>> {
        let (asker, answer) = oneshot::channel();
        self.sip.upgrade()?.send(Request::Look(Look::Report(asker))).await.ok()?;
        Some(timeout(ANSWER, answer).await.ok()?.ok()?.registrations)
    }

    /// Writes what is new into the row, and what is wrong with it into the log.
    async fn note(&self, place: Place, standing: Standing, noted: &mut Option<Standing>, wrong: &str) {
        if noted.as_ref().is_some_and(|noted| !standing.differs(noted)) {
            return;
        }
        if !wrong.is_empty() {
            let Place { domain_uuid, registration_uuid } = place;
            warn!(%domain_uuid, %registration_uuid, "This account cannot be registered: {wrong}");
        }
        match self.store.note(place, &self.owner, &standing).await {
            Ok(()) => *noted = Some(standing),
            Err(error) => warn!(%error, "how an account stands is not noted"),
        }
    }
}
