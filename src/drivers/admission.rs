//! From an INVITE to a call on a media thread, or to a refusal that says why.
use super::{
    breakers::Ordered,
    call_task::{NewCall, Shared},
    entrance::Entrance,
    facts::Facts,
    gate::Gate,
    ice_secret,
    media_threads::MediaThreads,
    own_calls::OwnCalls,
    rtp_socket::Ports,
    seed,
    sip_socket::Request,
    srtp_secret,
    till::Till,
};
use crate::{
    accounts::Known,
    call::{Here, Listening, Rung, Settings, Setup},
    config::{Config, Srtp},
    dtmf::Dtmf,
    ladder::{self, Ears},
    routing,
    secretary::{DomainRef, Secretary},
    store::{Directory, Found, Lookup, StoreError},
};
use chrono::Utc;
use media::{
    codec::Codec,
    sdp::{self, Preference},
};
use sip::{Command, IncomingInvite, LegId, Reason};
use std::{
    fmt::Display,
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::{Semaphore, mpsc, watch};
use tracing::{Span, field, info, trace, warn};
use uuid::Uuid;

/// What a refused peer is told to wait, in seconds, when the trouble is ours.
const RETRY_AFTER: &str = "5";

/// Everything an incoming call needs that is not its own.
#[derive(Debug)]
pub struct Admission {
    /// The configuration; each call keeps the one it began with.
    pub config: watch::Receiver<Arc<Config>>,
    /// Where secretaries and tenants are.
    pub directory: Arc<Directory>,
    /// RTP ports, of one address of each family at most.
    pub ports: Vec<Ports>,
    /// Where calls run.
    pub threads: MediaThreads,
    /// What the speech engine can do.
    pub ears: Ears,
    /// Those we register with, for the tenants of their calls.
    pub registrars: watch::Receiver<Known>,
    /// How many calls there may be.
    pub gate: Gate,
    /// How many callers may be told at once that they are not let in.
    pub notices: Arc<Semaphore>,
    /// What they may cost.
    pub till: Till,
    /// Those that the server places to itself.
    pub own_calls: OwnCalls,
    /// What every call shares.
    pub shared: Shared,
}

/// Why an INVITE is refused.
#[derive(Debug)]
pub(super) struct Refusal {
    status: u16,
    /// For the peer, the record and the log.
    pub(super) why: String,
    /// What a database or the system said of it, or what is another tenant's: for the log alone.
    detail: String,
    /// Said to the caller first, if there is a voice for it.
    pub(super) notice: Option<String>,
}

impl Refusal {
    pub(super) fn new(status: u16, why: impl Into<String>) -> Self {
        Self { status, why: why.into(), detail: String::new(), notice: None }
    }

    /// The database does not answer; or it does, with what another try will not read either.
    pub(super) fn of_database(error: &StoreError) -> Self {
        let (status, why) = match error.is_passing() {
            true => (503, "the database is not available"),
            false => (500, "the database has what cannot be read"),
        };
        Self::new(status, why).because(error)
    }

    pub(super) fn because(self, detail: impl Display) -> Self {
        Self { detail: detail.to_string(), ..self }
    }

    /// If there is any.
    pub(super) fn detail(&self) -> Option<&str> {
        Some(&*self.detail).filter(|detail| !detail.is_empty())
    }

    pub(super) fn with_notice(self, notice: Option<String>) -> Self {
        Self { notice, ..self }
    }
}

impl Admission {
    /// Takes an INVITE in, or refuses it. Runs within the span of the call, whose `id` and `domain` it finds.
    pub async fn admit(&self, leg: LegId, invite: IncomingInvite, sip: mpsc::Receiver<Box<sip::Event>>) {
        if let Err(refusal) = self.place(leg, invite.clone(), sip).await {
            self.turn_away(leg, &invite, refusal);
        }
    }

    /// Refuses an INVITE, and says why in the log.
    pub(super) fn turn_away(&self, leg: LegId, invite: &IncomingInvite, refusal: Refusal) {
        let IncomingInvite { remote, request_user: dialled, .. } = invite;
        warn!(%remote, status = refusal.status, detail = refusal.detail(), "Call refused: {}", refusal.why);
        trace!(%dialled, "Refused");
        self.refuse(leg, refusal);
    }

    async fn place(
        &self,
        leg: LegId,
        invite: IncomingInvite,
        sip: mpsc::Receiver<Box<sip::Event>>,
    ) -> Result<(), Refusal> {
        let clock = (Utc::now(), Instant::now());
        let mut secretary = self.secretary(&invite).await?;
        let tenant = self.tenant(&secretary).await?;
        tenant.complete(&mut secretary);
        for warning in &secretary.warnings {
            warn!(secretary = %secretary.secretary_name, "{warning}");
        }
        let mut facts = Facts { leg, invite, secretary, conversation_uuid: Uuid::new_v4(), clock };
        Span::current()
            .record("id", field::display(facts.conversation_uuid))
            .record("domain", facts.secretary.domain_name.as_str());
        self.name(&facts);
        self.own_calls.became(&facts.invite, facts.conversation_uuid);
        let entrance = match self.let_in(&facts, &tenant).await {
            Err(refusal) => self.tell(&mut facts, refusal),
            entrance => entrance,
        };
        entrance.and_then(|entrance| self.start(facts.clone(), entrance, sip)).inspect_err(|refusal| {
            self.shared.records.record(facts.failed(&refusal.why, Utc::now()));
        })
    }

    /// Starts a call whose secretary is known. Whatever stands in its way belongs into a record.
    fn start(&self, facts: Facts, entrance: Entrance, sip: mpsc::Receiver<Box<sip::Event>>) -> Result<(), Refusal> {
        let call = self.prepare(facts, entrance, sip)?;
        self.threads.place(call).map_err(|_| Refusal::new(503, "every media thread is full"))
    }

    /// A call as its thread is given it.
    pub(super) fn prepare(
        &self,
        facts: Facts,
        entrance: Entrance,
        sip: mpsc::Receiver<Box<sip::Event>>,
    ) -> Result<NewCall, Refusal> {
        let Entrance { config, rung, below, held } = entrance;
        let peer = facts.invite.offer.as_deref().and_then(sdp::audio_address).unwrap_or(facts.invite.remote.ip());
        let near = self.ports.iter().find(|ports| ports.reach(peer)).or(self.ports.first());
        let bound = near.map_or_else(|| Err(io::ErrorKind::AddrNotAvailable.into()), Ports::bind);
        let sockets = bound.map_err(|error| Refusal::new(503, "no RTP ports").because(error))?;
        let local = self.seen_by(&facts.invite, sockets.local);
        let Facts { leg, invite, secretary, conversation_uuid, clock: (started_at, _) } = facts.clone();
        info!(secretary = %secretary.secretary_name, provider = rung.provider(), engine = rung.engine(), "Call");
        let cord = self.shared.switchboard.plug(&facts, &rung);
        let standby = ladder::standby(&secretary, &config, &self.ears);
        let settings = self.settings(&invite, &secretary);
        let (seed, ice, srtp) = (seed(), ice_secret(), self.srtp(&invite));
        let setup = Setup {
            leg,
            invite,
            secretary,
            rung,
            below,
            standby,
            settings,
            local,
            seed,
            ice,
            srtp,
            conversation_uuid,
            started_at,
        };
        let shared = self.shared.clone();
        Ok(NewCall { facts, setup, sockets, sip, shared, cord, held, span: Span::current() })
    }

    /// Who speaks by the configuration of this call, and who goes on when that one fails.
    pub(super) fn ladder(&self, secretary: &Secretary, config: &Config) -> Result<Ordered, Refusal> {
        let rungs =
            ladder::rungs(secretary, config, &self.ears).map_err(|error| Refusal::new(503, error.to_string()))?;
        for warning in &rungs.warnings {
            warn!("a rung of the ladder is missing: {warning}");
        }
        let ordered = self.shared.circuits.order(rungs, &secretary.of_tenant);
        if ordered.skipped > 0 {
            let first = ordered.rungs.first().map(Rung::provider);
            warn!(ordered.skipped, first, "This call begins further down the ladder: calls before it failed");
        }
        Ok(ordered)
    }

    fn settings(&self, invite: &IncomingInvite, secretary: &Secretary) -> Settings {
        let (config, registrars) = (self.config.borrow(), self.registrars.borrow());
        let dtmf = routing::dtmf(invite, &config, &registrars);
        let listen_in = config.recording.may_listen_to(secretary);
        Settings { listen_in, ..settings(&config, routing::codecs(invite, &config, &registrars), dtmf) }
    }

    /// What the keys of this call are made of, if its audio is to be encrypted.
    fn srtp(&self, invite: &IncomingInvite) -> Option<media::srtp::Secret> {
        match routing::srtp(invite, &self.config.borrow(), &self.registrars.borrow()) {
            Srtp::Off => return None,
            Srtp::Required => {}
        }
        if routing::keys_are_readable(invite) {
            warn!(
                transport = invite.transport.param(),
                "This call's SRTP keys can be read on the way: its signalling is not over TLS"
            );
        }
        Some(srtp_secret())
    }

    /// Messages of this call are found by its conversation from here on.
    fn name(&self, facts: &Facts) {
        let name = Request::Conversation(facts.invite.call_id.clone(), facts.conversation_uuid);
        if self.shared.sip.try_send(name).is_err() {
            warn!("the SIP task does not take requests: this call's messages are found by its Call-ID only");
        }
    }

    pub(super) async fn secretary(&self, invite: &IncomingInvite) -> Result<Secretary, Refusal> {
        let own = self.own_calls.of(invite);
        let lookup = match &own {
            Some(own) => Lookup { extension: invite.request_user.clone(), domain: Some(DomainRef::Uuid(own.domain)) },
            None => {
                let wanted = routing::wanted(invite, &self.config.borrow(), &self.registrars.borrow());
                Lookup { extension: wanted.extension, domain: wanted.domain }
            }
        };
        let secretary = match self.directory.find(&lookup).await {
            Ok(Found::Secretary(secretary)) => *secretary,
            Ok(Found::Nothing) => return Err(Refusal::new(404, "no secretary has that extension")),
            Ok(Found::Ambiguous { domains }) => {
                let why = "several tenants have that extension, and nothing says which is meant";
                return Err(Refusal::new(404, why).because(domains.join(", ")));
            }
            Ok(Found::Disabled { secretary }) => {
                return Err(Refusal::new(480, format!("{secretary} is switched off")));
            }
            Ok(Found::Invalid(error)) => return Err(Refusal::new(500, error.to_string())),
            Err(error) => return Err(Refusal::of_database(&error)),
        };
        match own {
            Some(own) if own.secretary != secretary.secretary_realtime_uuid => {
                Err(Refusal::new(404, "that extension has become another secretary's"))
            }
            _ => Ok(secretary),
        }
    }

    fn refuse(&self, leg: LegId, refusal: Refusal) {
        let headers = match refusal.status {
            503 => vec![("Retry-After".to_owned(), RETRY_AFTER.to_owned())],
            _ => Vec::new(),
        };
        // The administrator finds the reason in the PBX's trace; who asks for the call of another tenant learns nothing.
        let reason = (refusal.status != 403).then(|| Reason {
            protocol: "SIP".into(),
            cause: Some(refusal.status),
            text: Some(refusal.why.clone()),
        });
        self.command(Command::Reject { leg, status: refusal.status, reason, headers });
    }

    pub(super) fn command(&self, command: Command) {
        if self.shared.sip.try_send(Request::Command(command)).is_err() {
            warn!("the SIP task does not take commands: one for a leg without a call is lost");
        }
    }

    /// Where a caller sends audio that is to reach this socket. A call of our own comes from this machine, whatever others see it as.
    fn seen_by(&self, caller: &IncomingInvite, bound: SocketAddr) -> Here {
        let by_listener = self.config.borrow().sip.audio_seen_as(bound.ip());
        let seen = match self.own_calls.of(caller) {
            Some(_) if bound.ip().is_unspecified() => caller.remote.ip(),
            Some(_) => bound.ip(),
            None => by_listener.get(usize::from(caller.listener.0)).copied().unwrap_or(bound.ip()),
        };
        Here { address: SocketAddr::new(seen, bound.port()), by_listener }
    }
}

fn settings(config: &Config, (codecs, preference): (Vec<Codec>, Preference), dtmf: Dtmf) -> Settings {
    let call = &config.call;
    Settings {
        codecs,
        preference,
        ptime: Duration::from_millis(20),
        comfort_noise: config.rtp.comfort_noise,
        reorder_window: config.media.reorder_window,
        max_queued: call.max_queued,
        patience: config.rtp.patience,
        learn: config.rtp.learn,
        poor_below: config.rtp.poor_below,
        ladder: call.ladder,
        announce_deadline: call.announce_deadline,
        notify_deadline: call.notify_deadline,
        bye_after_transfer: call.bye_after_transfer,
        farewell_deadline: call.farewell_deadline,
        menu_deadline: call.menu_deadline,
        listening: Listening {
            vad: config.media.vad,
            inband_dtmf: config.media.inband_dtmf,
            suppress_noise: config.media.noise_suppression,
            echo: config.media.echo,
        },
        dtmf,
        fallback_extension: call.fallback_extension.clone(),
        recording: config.recording.calls.clone(),
        listen_in: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_database_that_is_away_is_worth_another_try() {
        for (error, status) in
            [(StoreError::Unavailable("a server".into()), 503), (StoreError::Foreign("a column".into()), 500)]
        {
            let refusal = Refusal::of_database(&error);
            assert_eq!(refusal.status, status);
            assert!(refusal.detail().is_some_and(|detail| detail.contains("a ")) && !refusal.why.contains("column"));
        }
    }
}
