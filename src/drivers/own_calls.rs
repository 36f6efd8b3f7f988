//! Calls that the server places to itself: which of those that come in they are, and how they are placed.
use super::{
    aside::aside,
    control::Sources,
    dns::Dns,
    phone_task::{self, Dial, PORTS},
    rtp_socket::Ports,
    sip_socket::Request,
    trials::Trial,
    unguessable,
};
use crate::{
    api::{TestCall, TestReport, Untried},
    config::{self, Config},
    dtmf::Dtmf,
    phone::{Clip, HangUp, Plan, When},
    secretary::Secretary,
    speech::Engine,
    wav,
};
use anyhow::Context;
use providers::{Job, JobId, JobOutput, local::Language};
use sip::{
    IncomingInvite, Pass, Transport,
    locate::{Reach, Target},
    uri::Uri,
};
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::timeout,
};
use uuid::Uuid;

/// How long she may ring.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// How long what the caller says may take to be spoken.
const SPOKEN_WITHIN: Duration = Duration::from_secs(8);
/// From when it is made until the INVITE that brings it.
const PASS: Duration = Duration::from_secs(10);
/// How long the SIP task may take to know it.
const KNOWN_WITHIN: Duration = Duration::from_secs(5);
/// Why it cannot call itself.
const NOT_HERE: &str = "Every listener tells callers an address that this machine does not have: for test calls, add a [[listeners]] \
                        entry at 127.0.0.1 with advertised = \"127.0.0.1\"";
/// Who calls, by the record.
const CALLER: &str = "test-call";

/// Calls that the server places to itself and that are not over, by the user of their passes. Held for a look at a list.
#[derive(Clone, Debug, Default)]
pub struct OwnCalls(Arc<Mutex<BTreeMap<String, OwnCall>>>);

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OwnCall {
    /// For this secretary, and no other.
    pub(super) secretary: Uuid,
    /// Of this tenant.
    pub(super) domain: Uuid,
    /// What it became.
    conversation: Option<Uuid>,
}

/// A call that is being placed, until this is dropped.
#[derive(Debug)]
struct Placed {
    user: String,
    calls: OwnCalls,
}

impl OwnCalls {
    /// Which of them an INVITE is: nobody has the name of its user without its pass.
    pub(super) fn of(&self, invite: &IncomingInvite) -> Option<OwnCall> {
        self.calls().get(invite.user.as_ref()?).cloned()
    }

    /// An INVITE became this conversation.
    pub(super) fn became(&self, invite: &IncomingInvite, conversation: Uuid) {
        let Some(user) = &invite.user else { return };
        if let Some(call) = self.calls().get_mut(user) {
            call.conversation = Some(conversation);
        }
    }

    fn place(&self, secretary: &Secretary) -> Placed {
        let Secretary { secretary_realtime_uuid: secretary, domain_uuid: domain, .. } = *secretary;
        let user = Uuid::new_v4().to_string();
        self.calls().insert(user.clone(), OwnCall { secretary, domain, conversation: None });
        Placed { user, calls: self.clone() }
    }

    /// A map is whole after a panic, too.
    fn calls(&self) -> MutexGuard<'_, BTreeMap<String, OwnCall>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Placed {
    fn conversation(&self) -> Option<Uuid> {
        self.calls.calls().get(&self.user).and_then(|call| call.conversation)
    }
}

impl Drop for Placed {
    fn drop(&mut self) {
        self.calls.calls().remove(&self.user);
    }
}

/// Where a server is called at from its own machine.
#[derive(Clone, Debug, PartialEq)]
struct Entry {
    transport: Transport,
    at: SocketAddr,
    listener: config::Listener,
}

impl Entry {
    /// The first of the listeners, UDP before TCP before TLS, that tells its callers an address of this machine: what is said within
    /// a call goes there.
    fn of(
        listeners: &[config::Listener],
        bound: &[(Transport, SocketAddr)],
        is_here: impl Fn(IpAddr) -> bool,
    ) -> Option<Self> {
        let all = listeners.iter().zip(bound);
        let here = all.filter(|(listener, _)| listener.advertised.is_none_or(|seen| is_here(seen.ip())));
        let (listener, (transport, at)) = here.min_by_key(|(_, (over, _))| *over)?;
        let here: IpAddr = match at.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            own => own,
        };
        let at = SocketAddr::new(here, at.port());
        Some(Self { transport: *transport, at, listener: listener.clone() })
    }

    /// How a secretary is called there by whoever has this pass.
    fn dial(&self, extension: &str, secret: &str, config: &Config) -> Option<Dial> {
        let (at, transport) = (self.at, self.transport);
        let param = transport.param();
        let to = Uri::sip(Some(extension), &at.to_string()).and_then(|to| to.with_param("transport", param)).ok()?;
        let dns = Dns::new(&config.sip.dns, Reach::new([(transport, at.ip())])).ok()?;
        let (codecs, _) = config.codecs(None, None, Some(&self.listener));
        Some(Dial {
            targets: vec![Target { transport, remote: at, name: at.ip().to_string() }],
            route: Vec::new(),
            dns: Arc::new(dns),
            // Whoever answers at our own socket is us, and the pass is of no use to anybody else.
            tls: config::Tls { verify_servers: false, identity: config.tls.identity.clone(), ..config::Tls::default() },
            to: to.to_string(),
            from_user: CALLER.to_owned(),
            from_display: "Test call".to_owned(),
            credentials: None,
            x_headers: vec![("Authorization".to_owned(), format!("Bearer {secret}"))],
            session_expires: sip::SESSION_EXPIRES,
            listen: SocketAddr::new(at.ip(), 0),
            codecs,
            srtp: self.listener.srtp.unwrap_or(config.rtp.srtp),
            dtmf: Dtmf::Auto,
        })
    }
}

/// Whether this machine has that address.
fn is_here(address: IpAddr) -> bool {
    UdpSocket::bind((address, 0)).is_ok()
}

/// Calls a secretary, and tells what became of it. It goes on to its end although nobody waits for that.
///
/// # Errors
/// There is no call to be placed.
pub(super) async fn call(
    sources: &Sources,
    seat: Trial,
    secretary: &Secretary,
    TestCall { say, lasts }: TestCall,
) -> Result<TestReport, Untried> {
    let unfit = |why: &str| Untried::Unfit(why.to_owned());
    let extension = secretary.extension.as_deref().ok_or_else(|| unfit("She has no extension: nobody can call her"))?;
    let (config, calls, engine) = {
        let admission = sources.admission.upgrade().ok_or(Untried::Ending)?;
        let config = Arc::clone(&admission.config.borrow());
        (config, admission.own_calls.clone(), Arc::clone(&admission.shared.engine))
    };
    let language = secretary.provider_config.language.as_deref().unwrap_or(&config.local.language);
    let (clips, unsaid) = match say {
        None => (Vec::new(), None),
        Some(text) => match spoken(&engine, text, language).await {
            Ok(clip) => (vec![clip], None),
            Err(why) => (Vec::new(), Some(why)),
        },
    };
    let entry = Entry::of(&config.sip.listeners, &sources.listeners, is_here).ok_or_else(|| unfit(NOT_HERE))?;
    let secret: String = unguessable().iter().map(|byte| format!("{byte:02x}")).collect();
    let dial = entry.dial(extension, &secret, &config).ok_or_else(|| unfit("Her extension cannot be dialled"))?;
    let placed = calls.place(secretary);
    let (user, source) = (placed.user.clone(), dial.listen.ip());
    expect(sources, Pass { user, secret, source, until: Instant::now() + PASS }).await.ok_or(Untried::Ending)?;
    let ports = Ports::new(source, PORTS).bind().context("no RTP ports for the phone")?;
    let hang_up = HangUp::AtTheEnd;
    let plan = Plan { clips, keys: Vec::new(), duration: lasts, answer_within: ANSWER_WITHIN, hang_up };
    let (phone, conversation) = aside("test-call", move || async move {
        let _seat = seat;
        // Nobody picks up the receiver to end it sooner.
        let (_stop, stop) = watch::channel(false);
        let report = phone_task::call(dial, plan, ports, |_| {}, stop).await;
        (report, placed.conversation())
    })
    .await?;
    Ok(TestReport { conversation, unsaid, phone: phone? })
}

/// Tells the SIP task of a pass; nothing where the task is gone.
async fn expect(sources: &Sources, pass: Pass) -> Option<()> {
    let (knows, known) = oneshot::channel();
    sources.requests.upgrade()?.try_send(Request::Expect(pass, knows)).ok()?;
    timeout(KNOWN_WITHIN, known).await.ok()?.ok()
}

/// What the caller says, by a voice of this process.
///
/// # Errors
/// Why the caller has no voice.
async fn spoken(engine: &Engine, text: String, language: &str) -> Result<Clip, String> {
    let voice = Language::from_tag(language).filter(|voice| engine.capabilities().voices.contains_key(voice));
    let voice = voice.ok_or_else(|| format!("there is no voice for {language:?} in this server"))?;
    let (reply, mut done) = mpsc::channel(1);
    let job = Job::Speak { text, language: voice.tag().to_owned(), rate: media::SampleRate::HZ_8000 };
    engine.submit(JobId(0), job, None, reply);
    let late = || format!("nothing was spoken within {} s", SPOKEN_WITHIN.as_secs());
    let done = timeout(SPOKEN_WITHIN, done.recv()).await.ok().flatten().ok_or_else(late)?;
    let JobOutput::Speech(audio) = done.job.result? else { return Err("the engine did not speak".to_owned()) };
    let samples = wav::narrow(audio.samples, audio.rate).map_err(|error| error.to_string())?;
    Ok(Clip { audio: media::Frame { rate: media::SampleRate::HZ_8000, samples }, when: When::InTurn })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Environment;

    fn config(text: &str) -> Config {
        Config::parse(text, "test.toml", &Environment::default()).unwrap()
    }

    /// On a machine that has these addresses.
    fn entry(text: &str) -> Option<Entry> {
        let config = config(text);
        let bound: Vec<_> = config.sip.listeners.iter().map(|at| (at.transport, at.address)).collect();
        let ours = ["127.0.0.1", "192.0.2.9"].map(|ip| ip.parse::<IpAddr>().unwrap());
        Entry::of(&config.sip.listeners, &bound, |ip| ours.contains(&ip))
    }

    #[test]
    fn it_calls_where_it_is_reached_from_its_own_machine() {
        let at = |text: &str| entry(text).map(|Entry { transport, at, .. }| format!("{} {at}", transport.param()));
        let told = |address: &str| {
            format!(
                "[sip]\nudp = [\"0.0.0.0:5060\"]\ntcp = [\"192.0.2.9:5062\"]\nadvertised = [\"{address}\"]\n\
                 [rtp]\naddress = \"127.0.0.1\"\n"
            )
        };
        let plain = "[sip]\nudp = []\ntcp = [\"192.0.2.9:5062\"]\n[[listeners]]\ntransport = \"udp\"\naddress = \"192.0.2.9:5060\"\n";
        assert_eq!(at(plain).as_deref(), Some("udp 192.0.2.9:5060"));
        assert_eq!(at(&told("192.0.2.9")).as_deref(), Some("udp 127.0.0.1:5060"));
        assert_eq!(at(&told("203.0.113.5")), None, "what follows the answer would go elsewhere");
        let own = "[[listeners]]\ntransport = \"tcp\"\naddress = \"127.0.0.1:5070\"\nadvertised = \"127.0.0.1\"\n";
        assert_eq!(at(&format!("{}{own}", told("203.0.113.5"))).as_deref(), Some("tcp 127.0.0.1:5070"));
    }

    #[test]
    fn only_the_user_of_its_pass_is_known_and_only_while_it_is_being_placed() {
        let (calls, [secretary, domain, conversation]) = (OwnCalls::default(), [1, 2, 3].map(Uuid::from_u128));
        let user = "a".to_owned();
        calls.calls().insert(user.clone(), OwnCall { secretary, domain, conversation: None });
        let placed = Placed { user, calls: calls.clone() };
        let invite = |user: Option<&str>| IncomingInvite {
            remote: "127.0.0.1:9".parse().unwrap(),
            listener: sip::ListenerId(0),
            user: user.map(str::to_owned),
            transport: Transport::Udp,
            call_id: "c".into(),
            request_user: "8000".into(),
            request_host: "127.0.0.1".into(),
            from_user: "1".into(),
            from_display: String::new(),
            to_user: "8000".into(),
            x_headers: Vec::new(),
            offer: None,
        };
        assert_eq!((calls.of(&invite(None)), calls.of(&invite(Some("b")))), (None, None));
        assert_eq!(calls.of(&invite(Some("a"))).map(|call| (call.secretary, call.domain)), Some((secretary, domain)));
        calls.became(&invite(Some("b")), Uuid::nil());
        calls.became(&invite(Some("a")), conversation);
        assert_eq!(placed.conversation(), Some(conversation));
        drop(placed);
        assert_eq!(calls.of(&invite(Some("a"))), None);
    }

    #[tokio::test]
    async fn a_dial_brings_the_pass_and_does_as_the_listener_wants() {
        let config = config("[rtp]\nsrtp = \"required\"\ncodecs = [\"PCMA\"]\n");
        let entry = entry("[sip]\nudp = [\"127.0.0.1:5060\"]\n").unwrap();
        let dial = entry.dial("80#0", "s3", &config).unwrap();
        assert_eq!(dial.to, "sip:80%230@127.0.0.1:5060;transport=udp");
        assert_eq!(dial.x_headers, [("Authorization".to_owned(), "Bearer s3".to_owned())]);
        assert_eq!((dial.srtp, dial.codecs), (config::Srtp::Required, vec![media::codec::Codec::Pcma]));
        assert_eq!(dial.listen.to_string(), "127.0.0.1:0");
    }
}
