//! Runs a [`Phone`] over real sockets: its own SIP task, its own pair of RTP ports.
use super::{
    Alarm,
    dns::Dns,
    names::Names,
    rtp_socket::Pair,
    seed,
    sip_socket::{self, Request, Sockets, tls::Tls},
    srtp_secret,
    tap::Tap,
};
use crate::{
    config::{self, Listener, Srtp},
    dtmf::Dtmf,
    phone::{Event, Phone, Plan, Report, Setup},
};
use anyhow::Context;
use media::{Channel, codec::Codec};
use sip::{
    Policy, Transport,
    endpoint::{Config, Endpoint, OutgoingInvite},
    locate::Target,
};
use std::{
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tokio::{
    net::UdpSocket,
    sync::{mpsc, oneshot, watch},
    time::timeout,
};

/// SIP events that may wait for the phone; the SIP task then waits.
const EVENTS: usize = 256;
/// How long BYE or CANCEL may take before the program ends regardless.
const GOODBYE: Duration = Duration::from_secs(4);

/// Where phones have their RTP, apart from the server's default.
pub const PORTS: RangeInclusive<u16> = 30_000..=38_999;

/// Whom to call, and how.
#[derive(Clone, Debug)]
pub struct Dial {
    /// The servers to send the INVITE to, the one to try first in front.
    pub targets: Vec<Target>,
    /// Proxies to go through, nearest first.
    pub route: Vec<String>,
    /// Finds the servers that the call's dialog names.
    pub dns: Arc<Dns>,
    /// Whom we believe over TLS.
    pub tls: config::Tls,
    /// `sip:` URI of To and the request.
    pub to: String,
    /// User of From.
    pub from_user: String,
    /// Display name of From.
    pub from_display: String,
    /// Answers a digest challenge.
    pub credentials: Option<(String, String)>,
    /// Extra `X-` headers.
    pub x_headers: Vec<(String, String)>,
    /// Session interval to ask for (RFC 4028).
    pub session_expires: Duration,
    /// Our own address; port 0 picks one.
    pub listen: SocketAddr,
    /// Codecs to offer, in order.
    pub codecs: Vec<Codec>,
    /// Whether the audio is encrypted.
    pub srtp: Srtp,
    /// How keys pass.
    pub dtmf: Dtmf,
}

/// Calls, follows the plan, and reports. `watch` sees events as they happen; setting `stop` hangs up.
///
/// # Errors
/// Our own sockets cannot be had; what happens on the call is in the report.
pub async fn call(
    dial: Dial,
    plan: Plan,
    sockets: Pair,
    mut watch: impl FnMut(Event),
    mut stop: tokio::sync::watch::Receiver<bool>,
) -> anyhow::Result<Report> {
    let (listeners, ways) = sockets_for(&dial);
    let sip = Sockets::bind(&listeners, &ways).await.context("the phone has no SIP socket")?;
    // The sender stays: what it holds is what every connection of the phone is opened with.
    let (_tls, tls) = watch::channel(Arc::new(Tls::load(&dial.tls)?));
    let config = Config {
        user_agent: concat!("Ramal phone/", env!("CARGO_PKG_VERSION")).to_owned(),
        listeners: sip.listeners.clone(),
        max_legs: 4,
        policy: Policy::everybody(),
        session_expires: dial.session_expires,
    };
    let (requests, request_queue) = mpsc::channel(sip_socket::REQUESTS);
    let (event_sender, mut events) = mpsc::channel(EVENTS);
    let endpoint = Endpoint::new(config, seed());
    let sip_task = tokio::spawn(sip_socket::run(endpoint, sip, tls, Tap::closed(), request_queue, event_sender));

    let local = sockets.local;
    let (rtp, rtcp, _lease) = sockets.into_async().await?;
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let srtp = (dial.srtp == Srtp::Required).then(srtp_secret);
    let setup = Setup { local, codecs: dial.codecs.clone(), srtp, dtmf: dial.dtmf, seed: seed(), since_1970, plan };
    let mut phone = Phone::new(setup, Instant::now());
    let (leg_sender, leg) = oneshot::channel();
    for target in &dial.targets {
        requests.send(Request::Name(target.remote, target.name.clone())).await?;
    }
    requests.send(Request::Invite(invite(&dial, phone.offer(), local.ip()), leg_sender)).await?;
    let names = Names::new(Arc::clone(&dial.dns), &requests);
    phone.dialled(leg.await.context("the SIP task is gone")?);

    let mut alarm = Alarm::new();
    let (mut buffer, mut rtcp_buffer) = ([0; 2_048], [0; 2_048]);
    while drain(&mut phone, &rtp, &rtcp, &requests, &mut watch) {
        tokio::select! {
            biased;
            () = alarm.ring(phone.poll_timeout()) => phone.handle_timeout(Instant::now()),
            Some(event) = events.recv() => match event {
                sip::Event::Locate { server } => names.look_up(server),
                event => phone.handle_sip(event, Instant::now()),
            },
            received = rtp.recv_from(&mut buffer) => if let Ok((length, from)) = received {
                phone.handle_rtp(from, buffer.get(..length).unwrap_or_default(), Instant::now());
            },
            received = rtcp.recv_from(&mut rtcp_buffer) => if let Ok((length, from)) = received {
                phone.handle_rtcp(from, rtcp_buffer.get(..length).unwrap_or_default(), Instant::now());
            },
            _ = stop.wait_for(|stopping| *stopping) => phone.hang_up(Instant::now()),
        }
    }
    drop(requests);
    let farewell = async {
        while events.recv().await.is_some() {}
        sip_task.await
    };
    // A far end that does not answer our BYE does not keep the person waiting.
    let _ = timeout(GOODBYE, farewell).await;
    Ok(phone.into_report())
}

/// A listener for each transport that the targets ask for. Over TLS the phone, which has no certificate, only calls.
fn sockets_for(dial: &Dial) -> (Vec<Listener>, Vec<Listener>) {
    let wanted = |transport: &Transport| dial.targets.iter().any(|target| target.transport == *transport);
    let (listeners, ways): (Vec<Transport>, _) =
        Transport::ALL.into_iter().filter(wanted).partition(|transport| *transport != Transport::Tls);
    let at = |transport| Listener::plain(transport, dial.listen);
    let from = |transport| Listener::plain(transport, SocketAddr::new(dial.listen.ip(), 0));
    (listeners.into_iter().map(at).collect(), ways.into_iter().map(from).collect())
}

fn invite(dial: &Dial, sdp: Vec<u8>, ip: IpAddr) -> OutgoingInvite {
    let host = if ip.is_ipv6() { format!("[{ip}]") } else { ip.to_string() };
    OutgoingInvite {
        targets: dial.targets.clone(),
        route: dial.route.clone(),
        to: dial.to.clone(),
        from: format!("sip:{}@{host}", dial.from_user),
        from_display: dial.from_display.clone(),
        sdp: sdp.into(),
        x_headers: dial.x_headers.clone(),
        credentials: dial.credentials.clone(),
    }
}

/// Carries everything the phone wants carried; false when its call is over.
fn drain(
    phone: &mut Phone,
    rtp: &UdpSocket,
    rtcp: &UdpSocket,
    requests: &mpsc::Sender<Request>,
    watch: &mut impl FnMut(Event),
) -> bool {
    while let Some(transmit) = phone.poll_transmit() {
        let socket = match transmit.channel {
            Channel::Rtp => rtp,
            Channel::Rtcp => rtcp,
        };
        // A packet the kernel will not take is a lost packet.
        let _ = socket.try_send_to(&transmit.bytes, transmit.remote);
    }
    while let Some(command) = phone.poll_command() {
        if requests.try_send(Request::Command(command)).is_err() {
            tracing::warn!("the phone's SIP task is stuck");
        }
    }
    while let Some(event) = phone.poll_event() {
        watch(event);
    }
    !phone.is_over()
}
