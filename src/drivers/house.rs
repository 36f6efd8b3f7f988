//! The server as the API sees it.
use super::{
    api_socket::Stage,
    archive,
    aside::aside,
    control::Sources,
    own_calls,
    recorder::{Eraser, Sounds, is_in_use},
    rehearsal::{self, Means},
    switchboard::{Events, Listener, Switchboard, Told},
    till::{Payer, Till},
    trials::Trials,
};
use crate::{
    api::{
        Heard, House, Kept, Ladder, News, Piece, Readiness, Silence, Sound, Stream, TestCall, TestReport, Tried,
        Untried, Wanted,
    },
    call::{Rung, steer::Order},
    config::Config,
    control::{Health, Standing},
    ladder::{self, Ears, Rungs},
    metrics::Audience,
    secretary::{DomainRef, Keys, Secretary},
    store::{self, Spending, Store},
    switchboard::{ListenError, LiveCall, OrderError},
    tenancy::Tenant,
};
use chrono::Utc;
use futures_util::{
    StreamExt,
    future::{BoxFuture, join_all},
    stream,
};
use media::Frame;
use providers::local::Hearing;
use std::{sync::Arc, time::Duration};
use tokio::{sync::watch, time::timeout};
use tracing::warn;
use uuid::Uuid;

/// How long the database may take to show that it is there.
const PATIENCE: Duration = Duration::from_secs(2);
/// Providers that are tried, or heard, at once.
const REHEARSALS: usize = 4;
/// Calls that the server places to itself at once.
const OWN_CALLS: usize = 4;

/// What the API needs of a running server. It keeps no server alive.
#[derive(Debug)]
pub(super) struct Host {
    sources: Sources,
    store: Arc<dyn Store>,
    eraser: Arc<Eraser>,
    sounds: Sounds,
    stage: watch::Receiver<Stage>,
    rehearsals: Trials,
    own_calls: Trials,
}

/// What a call of a secretary would begin with.
struct Rehearsed {
    config: Arc<Config>,
    ears: Ears,
    means: Means,
    till: Till,
    records: store::Recorder,
}

impl Host {
    /// A server's.
    ///
    /// # Errors
    /// The store of recordings has no address.
    pub(super) fn new(
        sources: Sources,
        store: Arc<dyn Store>,
        config: &Config,
        stage: watch::Receiver<Stage>,
    ) -> anyhow::Result<Self> {
        let (eraser, sounds) = (Arc::new(Eraser::new(&config.recording)?), Sounds::new(&config.recording));
        let (rehearsals, own_calls) = (Trials::new(REHEARSALS), Trials::new(OWN_CALLS));
        Ok(Self { sources, store, eraser, sounds, stage, rehearsals, own_calls })
    }

    /// The calls that are up; `None` when the server is gone.
    fn switchboard(&self) -> Option<Switchboard> {
        Some(self.sources.admission.upgrade()?.shared.switchboard.clone())
    }

    /// This until the server closes: an answer without end would hold it up.
    fn until_closing<T: Send + 'static>(&self, pieces: Stream<T>) -> Stream<T> {
        let mut stage = self.stage.clone();
        let closing = async move {
            let _ = stage.wait_for(|stage| *stage == Stage::Closing).await;
        };
        pieces.take_until(Box::pin(closing)).boxed()
    }

    /// What a call of a secretary begins with, the key of her tenant included.
    fn rehearsed(&self, secretary: &Secretary, tenant: &Tenant) -> Result<Rehearsed, Untried> {
        let admission = self.sources.admission.upgrade().ok_or(Untried::Ending)?;
        let config = admission.config_of(secretary, tenant).map_err(|refusal| Untried::Unfit(refusal.why))?;
        let shared = &admission.shared;
        let (tls, http, engine) = (Arc::clone(&shared.tls), shared.http.clone(), Arc::clone(&shared.engine));
        let (ears, till, records) = (admission.ears.clone(), admission.till.clone(), shared.records.clone());
        Ok(Rehearsed { config, ears, means: Means { tls, http, engine }, till, records })
    }

    /// Whether the database answers at all.
    async fn has_database(&self) -> bool {
        let nobody = DomainRef::Uuid(Uuid::nil());
        timeout(PATIENCE, self.store.tenants().domain(&nobody)).await.is_ok_and(|answer| answer.is_ok())
    }
}

impl House for Host {
    fn health(&self) -> BoxFuture<'_, Option<Health>> {
        Box::pin(async move { self.sources.status().await.map(|(status, ..)| Health::from(status)) })
    }

    fn ready(&self) -> BoxFuture<'_, Readiness> {
        Box::pin(async move {
            let (status, database) = tokio::join!(self.sources.status(), self.has_database());
            let ending = *self.stage.borrow() != Stage::Open;
            let accounts = status.as_ref().map(|(status, ..)| status.registrations.as_slice()).unwrap_or_default();
            let registered = accounts.iter().filter(|account| account.state == Standing::Registered).count();
            let reached = accounts.is_empty() || registered > 0;
            let hears =
                self.sources.admission.upgrade().is_some_and(|admission| admission.ears.hearing == Hearing::Words);
            Readiness {
                // Without the database calls go by what was known: to send them elsewhere would lose more.
                ready: status.is_some() && reached && !ending,
                database: if database { "ok" } else { "away" },
                registered: registered as u64,
                accounts: accounts.len() as u64,
                models: if hears { "ok" } else { "absent" },
                ending,
            }
        })
    }

    fn metrics(&self, audience: Audience) -> BoxFuture<'_, Option<String>> {
        Box::pin(self.sources.metrics(audience))
    }

    fn calls(&self, domain: Uuid) -> Vec<LiveCall> {
        self.switchboard().map(|switchboard| switchboard.calls(Some(domain))).unwrap_or_default()
    }

    fn order(&self, domain: Uuid, conversation: Uuid, order: Order) -> BoxFuture<'_, Result<(), OrderError>> {
        Box::pin(async move {
            let switchboard = self.switchboard().ok_or(OrderError::NotFound)?;
            switchboard.order(Some(domain), conversation, order).await
        })
    }

    fn listen<'a>(
        &'a self,
        domain: Uuid,
        conversation: Uuid,
        who: &'a str,
    ) -> BoxFuture<'a, Result<Heard, ListenError>> {
        Box::pin(async move {
            let switchboard = self.switchboard().ok_or(ListenError::NotFound)?;
            let listener = switchboard.listen(Some(domain), conversation, who).await?;
            let (rate, pieces) = (listener.rate, stream::unfold(listener, heard).boxed());
            Ok(Heard { rate, pieces: self.until_closing(pieces) })
        })
    }

    fn news(&self, domain: Uuid, after: Option<u64>) -> Stream<News> {
        let Some(switchboard) = self.switchboard() else { return stream::empty().boxed() };
        let events = match after {
            Some(number) => switchboard.events_after(Some(domain), number),
            None => switchboard.events(Some(domain)),
        };
        self.until_closing(stream::unfold(events, told).boxed())
    }

    fn erase<'a>(&'a self, kept: &'a Kept) -> BoxFuture<'a, Result<(), Silence>> {
        Box::pin(async {
            if let Some(node) = kept.recording.as_ref().and_then(|recording| self.eraser.elsewhere(recording)) {
                return Err(Silence::Elsewhere(node.to_owned()));
            }
            let forgotten = archive::forget_one(&*self.store, &self.eraser, kept.clone()).await;
            forgotten.map_err(|error| match &kept.recording {
                _ if is_in_use(&error) => Silence::InUse,
                Some(recording) if self.eraser.has_to_wait(recording) => {
                    warn!("a conversation is not deleted: {error:#}");
                    Silence::Away
                }
                Some(_) | None => error.into(),
            })
        })
    }

    fn sound<'a>(&'a self, kept: &'a Kept, token: &'a str, wanted: Wanted) -> BoxFuture<'a, Result<Sound, Silence>> {
        Box::pin(self.sounds.open(kept, token, wanted))
    }

    fn check<'a>(&'a self, secretary: &'a Secretary, tenant: &'a Tenant) -> BoxFuture<'a, Result<Ladder, Untried>> {
        Box::pin(async move {
            let Rehearsed { config, ears, means, .. } = self.rehearsed(secretary, tenant)?;
            // Whose words they are does not matter: none is said.
            let silent = Secretary { first_message: None, ..saying_nothing_else(secretary) };
            let found = ladder::rungs(&silent, &config, &ears).map_err(|why| Untried::Unfit(why.to_string()))?;
            let Rungs { first, below, warnings: missing } = found;
            let (seat, domain) = (self.rehearsals.take(secretary.domain_uuid)?, secretary.domain_name.clone());
            let rungs = aside("rehearsal", move || async move {
                let _seat = seat;
                join_all(std::iter::once(first).chain(below).map(|rung| tried(rung, &domain, means.clone()))).await
            });
            Ok(Ladder { rungs: rungs.await?, missing })
        })
    }

    fn preview<'a>(
        &'a self,
        secretary: &'a Secretary,
        tenant: &'a Tenant,
        text: &'a str,
    ) -> BoxFuture<'a, Result<Frame, Untried>> {
        Box::pin(async move {
            let Rehearsed { config, ears, means, till, records } = self.rehearsed(secretary, tenant)?;
            let saying = Secretary { first_message: Some(text.to_owned()), ..saying_nothing_else(secretary) };
            let first = ladder::rungs(&saying, &config, &ears).map(|rungs| rungs.first);
            let rung = match first {
                // Callers are told so by an English voice, which is not what is to be heard.
                Ok(Rung::Local { config: local, .. }) if local.voice != local.language => {
                    let tag = local.language.tag();
                    let why = format!("There is no voice for {tag} in this server: `ramal models fetch` gets one");
                    return Err(Untried::Unfit(why));
                }
                // The built-in receptionist has more to say than that.
                Ok(Rung::Local { .. }) => {
                    ladder::notice(&saying.saying_only(text.to_owned()), "preview", &config, &ears)
                }
                other => other,
            };
            let rung = rung.map_err(|why| Untried::Unfit(why.to_string()))?;
            let mut spending = spending(secretary);
            let at = spending.started_at;
            // Where no money is left, nothing is said that costs some.
            let mut tab = match tenant.budget.as_ref().filter(|_| !rung.is_free()) {
                Some(budget) => {
                    let (domain, name) = (secretary.domain_uuid, &*secretary.domain_name);
                    let (payer, step) =
                        (Payer { domain, name, zone: tenant.time_zone }, config.tenancy.limits.reservation);
                    let opened = till.open(payer, budget, step, at).await;
                    Some(opened.map_err(|exhausted| Untried::Unfit(exhausted.to_string()))?)
                }
                None => None,
            };
            let (seat, domain) = (self.rehearsals.take(secretary.domain_uuid)?, secretary.domain_name.clone());
            let heard = aside("rehearsal", move || async move {
                let _seat = seat;
                let heard = rehearsal::listen(rung.rehearse(&domain), means, !rung.is_free()).await;
                let share = rung.share(&heard.used, Duration::ZERO, at);
                if let Some(tab) = &mut tab {
                    tab.charge(share.cost);
                }
                spending.shares.push(share);
                records.note(spending);
                heard.said
            });
            heard.await?.map_err(Untried::Failed)
        })
    }

    fn test_call<'a>(&'a self, secretary: &'a Secretary, call: TestCall) -> BoxFuture<'a, Result<TestReport, Untried>> {
        Box::pin(async move {
            let seat = self.own_calls.take(secretary.domain_uuid)?;
            own_calls::call(&self.sources, seat, secretary, call).await
        })
    }
}

/// What a preview costs is in the usage as that of a call of no length, of which there is no record.
fn spending(secretary: &Secretary) -> Spending {
    let known = Some(secretary.secretary_realtime_uuid).filter(|uuid| !uuid.is_nil());
    Spending {
        conversation: Uuid::new_v4(),
        domain: secretary.domain_uuid,
        secretary: known,
        started_at: Utc::now(),
        shares: Vec::new(),
    }
}

/// The same secretary, who says nothing of recordings and keys.
fn saying_nothing_else(secretary: &Secretary) -> Secretary {
    Secretary { recording: Some(false), keys: Keys::default(), ..secretary.clone() }
}

/// What became of a rung.
async fn tried(rung: Rung, domain: &str, means: Means) -> Tried {
    let rehearsal::Begun { connected, ready } = rehearsal::begin(rung.rehearse(domain), means).await;
    Tried { provider: rung.provider(), engine: rung.engine().to_owned(), connected, ready }
}

async fn heard(mut listener: Listener) -> Option<(Piece, Listener)> {
    let sound = listener.next().await?;
    Some((Piece { missed: sound.missed, samples: sound.samples.samples.clone() }, listener))
}

async fn told(mut events: Events) -> Option<(News, Events)> {
    let news = match events.next().await? {
        Told::Event(number, entry) => {
            let entry = serde_json::to_value(&*entry).unwrap_or_default();
            let kind = entry["event"].as_str().unwrap_or("other").to_owned();
            News::Happened { number, kind, entry }
        }
        Told::Missed(events) => News::Missed(events),
    };
    Some((news, events))
}
