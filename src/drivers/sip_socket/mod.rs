//! The SIP task: owns the sockets and the endpoint, and carries between them.
mod connections;
mod sockets;
pub mod tls;

pub use sockets::Sockets;

use self::connections::{Connections, FromStream, Place};
use super::{
    Alarm,
    tap::{Look, Tap},
};
use crate::trace::Direction;
use sip::{
    Command, Event, Hop, LegId, ListenerId, Pass, Policy, Registration, RegistrationId, Transmit, Transport,
    endpoint::{Endpoint, OutgoingInvite},
    locate::{Located, Target},
    uri::Uri,
};
use std::{net::SocketAddr, sync::Arc, time::Instant};
use tls::Tls;
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{debug, warn};
use uuid::Uuid;

/// Requests that may wait for the SIP task. Senders use `try_send`: a full queue means the task is stuck, and is an error.
pub const REQUESTS: usize = 4_096;
/// Largest UDP datagram.
const DATAGRAM: usize = 65_535;
/// Datagrams taken in one go before timers, streams and requests have their turn again.
const BURST: usize = 64;

/// What the SIP task can be asked for.
#[derive(Debug)]
pub enum Request {
    /// Something for one leg.
    Command(Command),
    /// Places a call and tells its leg.
    Invite(OutgoingInvite, oneshot::Sender<LegId>),
    /// Starts and keeps a registration.
    Register(RegistrationId, Registration),
    /// Gives a registration other targets.
    Retarget(RegistrationId, Vec<Target>),
    /// Ends a registration.
    Unregister(RegistrationId),
    /// Where the server of this URI is, as the endpoint asked.
    Located(Uri, Located),
    /// The server at this address has this name, which its certificate must bear.
    Name(SocketAddr, String),
    /// The call with this Call-ID became this conversation, by which its messages are found.
    Conversation(String, Uuid),
    /// A question about messages and counts.
    Look(Look),
    /// Decides by this from here on who may call.
    Policy(Box<Policy>),
    /// Lets one call in that brings this pass; answered when it would.
    Expect(Pass, oneshot::Sender<()>),
    /// Takes no new calls; OPTIONS is answered 503.
    Drain,
}

/// Whether anybody can still ask for something.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Owned {
    Yes,
    No,
}

/// Runs the endpoint until every request sender is gone and the endpoint is idle. Events that nobody takes any more are
/// dropped: what is left to say (BYE, unregister) is said regardless. `tls` may change at any time; connections opened
/// from then on use what it holds then.
pub async fn run(
    mut endpoint: Endpoint,
    sockets: Sockets,
    tls: watch::Receiver<Arc<Tls>>,
    mut tap: Tap,
    mut requests: mpsc::Receiver<Request>,
    events: mpsc::Sender<Event>,
) {
    tap.listen(sockets.locals().into_iter());
    let Sockets { mut udp, streams, ways, .. } = sockets;
    endpoint.trace_streams();
    let (mut connections, mut from_streams) = Connections::start(streams, ways, tls);
    let mut buffer = vec![0; DATAGRAM];
    let mut owned = Owned::Yes;
    let mut alarm = Alarm::new();
    loop {
        while let Some((hop, message)) = endpoint.poll_framed() {
            tap.note(Direction::In, hop, &message);
        }
        while let Some(transmit) = endpoint.poll_transmit() {
            tap.note(Direction::Out, transmit.hop, &transmit.bytes);
            send(transmit, &udp, &mut connections);
        }
        while let Some(hop) = endpoint.poll_close() {
            connections.close(hop);
        }
        while let Some(event) = endpoint.poll_event() {
            let _ = events.send(event).await;
        }
        if owned == Owned::No && endpoint.is_idle() {
            return;
        }
        tokio::select! {
            received = udp.receive(&mut buffer) => {
                let mut received = Some(received);
                for _ in 0..BURST {
                    let Some(datagram) = received else { break };
                    on_datagram(datagram, &buffer, &mut endpoint, &mut tap);
                    received = udp.try_receive(&mut buffer);
                }
            }
            Some(input) = from_streams.recv() => on_stream(input, &mut endpoint, &mut connections),
            request = requests.recv(), if owned == Owned::Yes => match request {
                Some(request) => on_request(request, &mut endpoint, &mut connections, &mut tap),
                None => owned = Owned::No,
            },
            () = alarm.ring(endpoint.poll_timeout()) => {}
        }
        let now = Instant::now();
        if endpoint.poll_timeout().is_some_and(|(at, _)| at <= now) {
            endpoint.handle_timeout(now);
        }
    }
}

fn on_datagram(received: sockets::Received, buffer: &[u8], endpoint: &mut Endpoint, tap: &mut Tap) {
    match received {
        Ok((listener, length, remote)) => {
            let datagram = buffer.get(..length).unwrap_or_default();
            tap.note(Direction::In, Hop { listener, transport: Transport::Udp, remote }, datagram);
            endpoint.handle_datagram(listener, remote, datagram, Instant::now());
        }
        Err(error) => debug!(%error, "UDP receive"),
    }
}

fn on_request(request: Request, endpoint: &mut Endpoint, connections: &mut Connections, tap: &mut Tap) {
    let now = Instant::now();
    match request {
        Request::Command(command) => endpoint.handle_command(command, now),
        Request::Invite(invite, reply) => {
            // A caller that went away meanwhile hears of its leg by events, and nobody answers them.
            let _ = reply.send(endpoint.invite(invite, now));
        }
        Request::Register(id, registration) => endpoint.register(id, registration, now),
        Request::Retarget(id, targets) => endpoint.retarget(id, targets, now),
        Request::Unregister(id) => endpoint.unregister(id, now),
        Request::Located(server, located) => endpoint.located(&server, located, now),
        Request::Policy(policy) => endpoint.set_policy(*policy),
        Request::Expect(pass, expected) => {
            endpoint.let_pass(pass);
            // Whoever asked may have gone; the pass is good for a while only.
            let _ = expected.send(());
        }
        Request::Name(remote, name) => connections.name(remote, name),
        Request::Conversation(call_id, conversation) => tap.name(&call_id, conversation),
        Request::Look(look) => tap.look(look, endpoint, now),
        Request::Drain => endpoint.drain(),
    }
}

fn on_stream(input: FromStream, endpoint: &mut Endpoint, connections: &mut Connections) {
    let now = Instant::now();
    match input {
        FromStream::Opened(hop, outbox) => {
            if connections.opened(hop, outbox) == Place::Taken {
                endpoint.handle_stream_closed(hop, now);
            }
            endpoint.handle_stream_opened(hop);
        }
        FromStream::Chunk(hop, bytes) => endpoint.handle_stream(hop, &bytes, now),
        FromStream::Closed(hop, outbox) => {
            if connections.closed(hop, &outbox) == Place::Free {
                endpoint.handle_stream_closed(hop, now);
            }
        }
        FromStream::NotOpened(hop) => {
            connections.close(hop);
            endpoint.handle_unreachable(hop, now);
        }
    }
}

fn send(transmit: Transmit, udp: &sockets::Datagrams, connections: &mut Connections) {
    let Transmit { hop: hop @ Hop { listener, transport, remote }, bytes } = transmit;
    match transport {
        // A datagram that the kernel will not take is a lost datagram: timers repeat it.
        Transport::Udp => match udp.try_send(listener, &bytes, remote) {
            Some(Ok(_)) => {}
            Some(Err(error)) => debug!(%remote, %error, "UDP send"),
            None => warn!(%remote, "a message for UDP, but no such listener"),
        },
        Transport::Tcp | Transport::Tls => connections.send(hop, bytes),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::config;
    use sip::{Policy, endpoint::Config};
    use std::time::Duration;
    use tokio::{net::UdpSocket, time::timeout};

    const HERE: &str = "127.0.0.1:0";
    /// A test that waits this long has failed.
    const PATIENCE: Duration = Duration::from_secs(10);

    fn here() -> config::Listener {
        config::Listener::plain(Transport::Udp, HERE.parse().unwrap())
    }

    pub(in crate::drivers) async fn peer() -> UdpSocket {
        UdpSocket::bind(HERE).await.unwrap()
    }

    pub(in crate::drivers) async fn heard(peer: &UdpSocket) -> (String, SocketAddr) {
        let mut buffer = vec![0; DATAGRAM];
        let (length, from) = timeout(PATIENCE, peer.recv_from(&mut buffer)).await.unwrap().unwrap();
        (String::from_utf8_lossy(&buffer[..length]).into_owned(), from)
    }

    /// Answers a request with the headers that belong to it.
    pub(in crate::drivers) async fn answer(peer: &UdpSocket, status: &str, more: &str) -> String {
        let (request, from) = heard(peer).await;
        let echoed = |line: &&str| ["Via:", "From:", "To:", "Call-ID:", "CSeq:"].iter().any(|h| line.starts_with(h));
        let echo: Vec<&str> = request.lines().filter(echoed).collect();
        let reply = format!("SIP/2.0 {status}\r\n{}\r\n{more}Content-Length: 0\r\n\r\n", echo.join("\r\n"));
        peer.send_to(reply.as_bytes(), from).await.unwrap();
        request
    }

    fn account(registrar: SocketAddr) -> Registration {
        Registration {
            targets: vec![Target { transport: Transport::Udp, remote: registrar, name: String::new() }],
            proxy: None,
            domain: "pbx.example".into(),
            user: "2000".into(),
            auth_user: "2000".into(),
            password: "s3cret".into(),
            contact_user: "2000".into(),
            expires: Duration::from_secs(600),
            ping: None,
        }
    }

    async fn start(events: mpsc::Sender<Event>) -> (mpsc::Sender<Request>, tokio::task::JoinHandle<()>) {
        let sockets = Sockets::bind(&[here()], &[]).await.unwrap();
        let (listeners, policy, session_expires) =
            (sockets.listeners.clone(), Policy::everybody(), sip::SESSION_EXPIRES);
        let config = Config { user_agent: String::new(), listeners, max_legs: 1, policy, session_expires };
        let (requests, queue) = mpsc::channel(REQUESTS);
        let tls = watch::channel(Arc::new(Tls::outgoing().unwrap())).1;
        (requests, tokio::spawn(run(Endpoint::new(config, 1), sockets, tls, Tap::closed(), queue, events)))
    }

    #[tokio::test]
    async fn a_goodbye_is_said_to_its_end_though_nobody_listens_any_more() {
        let challenge = |nonce: &str, more: &str| {
            format!("WWW-Authenticate: Digest realm=\"pbx.example\", nonce=\"{nonce}\"{more}\r\n")
        };
        let (events, nobody) = mpsc::channel(1);
        drop(nobody);
        let (requests, task) = start(events).await;
        let registrar = peer().await;
        let registration = account(registrar.local_addr().unwrap());
        requests.send(Request::Register(RegistrationId(0), registration)).await.unwrap();
        answer(&registrar, "401 Unauthorized", &challenge("one", "")).await;
        answer(&registrar, "200 OK", "Expires: 600\r\n").await;
        requests.send(Request::Unregister(RegistrationId(0))).await.unwrap();
        drop(requests);
        let first = answer(&registrar, "401 Unauthorized", &challenge("two", ", stale=true")).await;
        let second = answer(&registrar, "200 OK", "").await;
        for unregister in [first, second] {
            assert!(unregister.contains("Expires: 0\r\n"), "{unregister}");
        }
        timeout(PATIENCE, task).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn the_first_datagram_of_a_socket_is_sent() {
        let sockets = Sockets::bind(&[here()], &[]).await.unwrap();
        let sent = sockets.udp.try_send(ListenerId(0), b"x", peer().await.local_addr().unwrap());
        assert_eq!(sent.unwrap().unwrap(), 1);
    }
}
