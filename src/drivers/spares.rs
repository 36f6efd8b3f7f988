//! Connections that are made before they are wanted: TCP and TLS to a provider that calls have just been connected with, for the
//! next call, or for this one should its connection break. Each is of one media thread, whose calls share them.
//!
//! Bounds: one for an address, for half a minute; eight addresses, and no spare for more.
use rustls::{ClientConfig, pki_types::ServerName};
use std::{
    cell::RefCell,
    collections::BTreeMap,
    fmt, io,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, ReadBuf},
    net::TcpStream,
    task::spawn_local,
    time::{sleep, timeout},
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tracing::debug;

/// How long one waits for its call. Servers wait about as long for a request that does not come.
const KEPT: Duration = Duration::from_secs(30);
/// Connecting and TLS, together.
const MADE: Duration = Duration::from_secs(6);
const MOST: usize = 8;

/// A host and its port.
pub type Authority = (String, u16);
type Stream = TlsStream<TcpStream>;

/// The spare connections of one thread.
#[derive(Clone)]
pub struct Spares(Rc<RefCell<Inner>>);

struct Inner {
    waiting: BTreeMap<Authority, Waiting>,
    made: u64,
    kept: Duration,
}

struct Waiting {
    number: u64,
    /// Nothing while it is being made.
    stream: Option<Box<Stream>>,
}

impl fmt::Debug for Spares {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Spares").finish_non_exhaustive()
    }
}

impl Default for Spares {
    fn default() -> Self {
        Self::lasting(KEPT)
    }
}

impl Spares {
    /// None yet; each will wait for its call so long.
    fn lasting(kept: Duration) -> Self {
        Self(Rc::new(RefCell::new(Inner { waiting: BTreeMap::new(), made: 0, kept })))
    }

    /// A connection to this address, if there is one that works.
    pub fn take(&self, at: &Authority) -> Option<Box<Stream>> {
        let mut inner = self.0.borrow_mut();
        // One that is being made is left to those who come later.
        inner.waiting.get(at)?.stream.as_ref()?;
        let stream = inner.waiting.remove(at)?.stream;
        stream.and_then(alive)
    }

    /// Sees to it that the next call finds a connection to this address.
    pub fn prepare(&self, at: &Authority, tls: &Arc<ClientConfig>) {
        let mut inner = self.0.borrow_mut();
        if inner.waiting.contains_key(at) || inner.waiting.len() >= MOST {
            return;
        }
        inner.made = inner.made.wrapping_add(1);
        let number = inner.made;
        inner.waiting.insert(at.clone(), Waiting { number, stream: None });
        spawn_local(self.clone().keep(at.clone(), Arc::clone(tls), number));
    }

    fn has(&self, at: &Authority, stream: Stream) -> Duration {
        let mut inner = self.0.borrow_mut();
        if let Some(waiting) = inner.waiting.get_mut(at) {
            waiting.stream = Some(Box::new(stream));
        }
        inner.kept
    }

    /// Makes one, and gives it up when nobody wants it.
    async fn keep(self, at: Authority, tls: Arc<ClientConfig>, number: u64) {
        match timeout(MADE, connect(&at, tls)).await {
            Ok(Ok(stream)) => {
                let kept = self.has(&at, stream);
                sleep(kept).await;
            }
            // Whoever needs one will find out for themselves.
            Ok(Err(error)) => debug!(%error, host = at.0, "No connection in advance"),
            Err(_) => debug!(host = at.0, "No connection in advance within {MADE:?}"),
        }
        let mut inner = self.0.borrow_mut();
        if inner.waiting.get(&at).is_some_and(|waiting| waiting.number == number) {
            inner.waiting.remove(&at);
        }
    }
}

async fn connect(at: &Authority, tls: Arc<ClientConfig>) -> io::Result<Stream> {
    let name = ServerName::try_from(at.0.clone()).map_err(io::Error::other)?;
    let stream = TcpStream::connect(at).await?;
    stream.set_nodelay(true)?;
    TlsConnector::from(tls).connect(name, stream).await
}

/// The stream, unless the server has closed it. A server that speaks before it is asked is none of ours.
fn alive(mut stream: Box<Stream>) -> Option<Box<Stream>> {
    let mut byte = [0];
    let mut context = Context::from_waker(Waker::noop());
    match Pin::new(&mut stream).poll_read(&mut context, &mut ReadBuf::new(&mut byte)) {
        Poll::Pending => Some(stream),
        Poll::Ready(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::ws_client::{Connection, Dialer, FromProvider, TAKEN},
        *,
    };
    use crate::drivers::trust;
    use Seen::{Secured, Upgraded};
    use futures_util::SinkExt;
    use rustls::{
        RootCertStore, ServerConfig,
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    };
    use tokio::{
        net::TcpListener,
        sync::mpsc,
        task::{LocalSet, yield_now},
    };
    use tokio_rustls::TlsAcceptor;
    use tokio_tungstenite::tungstenite::Message;

    /// What became of a connection at the server, which numbers them.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Seen {
        Secured(usize),
        Upgraded(usize),
    }

    /// A server, whom it is trusted by, and what it sees. It closes the connections of these numbers when they are secured.
    async fn server(closes: &'static [usize]) -> (String, Arc<ClientConfig>, mpsc::Receiver<Seen>) {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let ring = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(ring).with_safe_default_protocol_versions().unwrap();
        let config = config.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap();
        let (listener, acceptor) =
            (TcpListener::bind("127.0.0.1:0").await.unwrap(), TlsAcceptor::from(Arc::new(config)));
        let url = format!("wss://{}/", listener.local_addr().unwrap());
        let (see, seen) = mpsc::channel(16);
        spawn_local(async move {
            for number in 1.. {
                let stream = acceptor.accept(listener.accept().await.unwrap().0).await.unwrap();
                see.send(Seen::Secured(number)).await.unwrap();
                if closes.contains(&number) {
                    continue;
                }
                spawn_local(greet(stream, number, see.clone()));
            }
        });
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        (url, trust::client(roots).unwrap(), seen)
    }

    async fn greet(stream: tokio_rustls::server::TlsStream<TcpStream>, number: usize, see: mpsc::Sender<Seen>) {
        let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else { return };
        for _ in 0..TAKEN {
            socket.send(Message::text("hello")).await.unwrap();
        }
        see.send(Upgraded(number)).await.unwrap();
        std::future::pending::<()>().await;
    }

    async fn opens(url: &str, dialer: &Dialer) -> Connection {
        let mut connection = Connection::open(url.to_owned(), Vec::new(), dialer.clone());
        assert!(matches!(connection.next().await, FromProvider::Connected));
        for _ in 0..TAKEN {
            assert!(matches!(connection.next().await, FromProvider::Message(_)));
        }
        connection
    }

    /// Two calls, one after the other: what the server sees of the first, and of the second.
    async fn two_calls(closes: &'static [usize]) -> ([Option<Seen>; 3], [Option<Seen>; 2]) {
        let (url, tls, mut seen) = server(closes).await;
        let dialer = Dialer { tls, spares: Some(Spares::default()) };
        let _first = opens(&url, &dialer).await;
        let of_first = [seen.recv().await, seen.recv().await, seen.recv().await];
        let _second = opens(&url, &dialer).await;
        (of_first, [seen.recv().await, seen.recv().await])
    }

    #[tokio::test]
    async fn a_call_takes_the_connection_that_was_made_for_it_and_leaves_one_for_the_next() {
        let seen = LocalSet::new().run_until(two_calls(&[])).await;
        let first = [Secured(1), Upgraded(1), Secured(2)].map(Some);
        assert_eq!(seen, (first, [Upgraded(2), Secured(3)].map(Some)));
    }

    #[tokio::test]
    async fn a_connection_that_was_closed_meanwhile_is_no_loss() {
        let (_, second) = LocalSet::new().run_until(two_calls(&[2])).await;
        assert_eq!(second, [Secured(3), Upgraded(3)].map(Some));
    }

    #[tokio::test]
    async fn there_is_one_and_what_nobody_wants_is_given_up() {
        let test = async {
            let (url, tls, mut seen) = server(&[]).await;
            let at = ("127.0.0.1".to_owned(), url.trim_end_matches('/').rsplit(':').next().unwrap().parse().unwrap());
            let spares = Spares::lasting(Duration::ZERO);
            spares.prepare(&at, &tls);
            spares.prepare(&at, &tls);
            while !spares.0.borrow().waiting.is_empty() {
                yield_now().await;
            }
            assert_eq!((seen.recv().await, seen.try_recv().ok()), (Some(Secured(1)), None));
            assert!(spares.take(&at).is_none());
        };
        LocalSet::new().run_until(test).await;
    }
}
