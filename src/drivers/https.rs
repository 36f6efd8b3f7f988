//! Requests to providers beside their WebSockets: small answers, a deadline, and the same trust.
use crate::tenancy::webhook;
use providers::Disconnect;
use rustls::{ClientConfig, ClientConnection, StreamOwned, pki_types::ServerName};
use std::{
    fmt,
    io::{self, Read, Write},
    sync::Arc,
    time::Duration,
};
use tokio::{task::spawn_blocking, time::timeout};
use ureq::{
    Agent, Error,
    config::Config,
    http::{StatusCode, Uri},
    unversioned::{
        resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver},
        transport::{
            Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, TcpConnector, Transport,
            TransportAdapter,
        },
    },
};

/// From the request to the whole of the answer.
const ANSWER: Duration = Duration::from_secs(4);

/// What is asked for, with GET.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// `http://` or `https://`.
    pub url: String,
    /// Header name and value; they may hold secrets.
    pub headers: Vec<(String, String)>,
}

/// Who asks; it trusts whom `tls` trusts.
pub fn agent(tls: Arc<ClientConfig>) -> Agent {
    agent_by(tls, DefaultResolver::default())
}

/// The same for those whom the settings of tenants name: by `https://`, at addresses of the public internet, and nowhere else.
pub fn public_agent(tls: Arc<ClientConfig>) -> Agent {
    agent_by(tls, Public(DefaultResolver::default()))
}

/// Why a [`public_agent`] did not ask, if that is so.
pub fn refusal(error: &Error) -> Option<String> {
    match error {
        Error::Io(error) if error.kind() == io::ErrorKind::PermissionDenied => Some(error.to_string()),
        _ => None,
    }
}

/// Looks names up, and tells of public addresses alone: looked up once more, a name may lead elsewhere.
#[derive(Debug)]
struct Public(DefaultResolver);

impl Resolver for Public {
    fn resolve(&self, uri: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let refused = |why| Error::Io(io::Error::new(io::ErrorKind::PermissionDenied, why));
        if let Some(why) = webhook::refused(&uri.to_string()) {
            return Err(refused(why));
        }
        let mut public = self.empty();
        for at in self.0.resolve(uri, config, timeout)?.iter().filter(|at| !webhook::is_within(at.ip())) {
            public.push(*at);
        }
        match public.is_empty() {
            true => Err(refused("its name leads into the server's own network")),
            false => Ok(public),
        }
    }
}

fn agent_by(tls: Arc<ClientConfig>, resolver: impl Resolver) -> Agent {
    let config = Agent::config_builder()
        .timeout_global(Some(ANSWER))
        .http_status_as_error(false)
        .max_redirects(0)
        // As a WebSocket: straight to the provider.
        .proxy(None)
        .user_agent(concat!("Ramal/", env!("CARGO_PKG_VERSION")))
        .build();
    Agent::with_parts(config, ().chain(TcpConnector::default()).chain(Tls(tls)), resolver)
}

/// The body of an answer 200, of `longest` bytes at most.
///
/// # Errors
/// Nobody answers in time, or the answer is another.
pub async fn get(agent: Agent, request: Request, longest: u64) -> Result<String, Disconnect> {
    // The agent keeps its own deadline; this one holds when no thread was free to start it.
    match timeout(ANSWER * 2, spawn_blocking(move || ask(&agent, &request, longest))).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => Err(Disconnect::Unreachable("the request broke".to_owned())),
        Err(_) => Err(Disconnect::Unreachable("no answer in time".to_owned())),
    }
}

fn ask(agent: &Agent, request: &Request, longest: u64) -> Result<String, Disconnect> {
    // What the agent says of a failure may quote the URL, which holds no secret.
    let unreachable = |error: Error| Disconnect::Unreachable(error.to_string());
    let asked = request.headers.iter().fold(agent.get(&request.url), |get, (name, value)| get.header(name, value));
    let mut response = asked.call().map_err(unreachable)?;
    if response.status() != StatusCode::OK {
        return Err(Disconnect::Refused(response.status().as_u16()));
    }
    response.body_mut().with_config().limit(longest).read_to_string().map_err(unreachable)
}

/// Encrypts what `https://` asks for: the agent's own way of it trusts either the public authorities or others.
struct Tls(Arc<ClientConfig>);

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

impl<Plain: Transport> Connector<Plain> for Tls {
    type Out = Either<Plain, Encrypted>;

    fn connect(&self, to: &ConnectionDetails<'_>, plain: Option<Plain>) -> Result<Option<Self::Out>, Error> {
        let Some(plain) = plain else { return Ok(None) };
        if !to.needs_tls() {
            return Ok(Some(Either::A(plain)));
        }
        let host = to.uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(host).map_err(|_| Error::Tls("the host is no name of a server"))?;
        let mut tls = ClientConnection::new(Arc::clone(&self.0), name)?;
        let mut socket = TransportAdapter::new(plain.boxed(), Arc::clone(&to.current_time));
        socket.set_timeout(to.timeout);
        tls.complete_io(&mut socket)?;
        let buffers = LazyBuffers::new(to.config.input_buffer_size(), to.config.output_buffer_size());
        Ok(Some(Either::B(Encrypted { buffers, stream: StreamOwned::new(tls, socket) })))
    }
}

struct Encrypted {
    buffers: LazyBuffers,
    stream: StreamOwned<ClientConnection, TransportAdapter>,
}

impl fmt::Debug for Encrypted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Encrypted")
    }
}

impl Transport for Encrypted {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.stream.sock.set_timeout(timeout);
        let output = self.buffers.output().get(..amount).unwrap_or_default();
        Ok(self.stream.write_all(output)?)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.stream.sock.set_timeout(timeout);
        let read = self.stream.read(self.buffers.input_append_buf())?;
        self.buffers.input_appended(read);
        Ok(read > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.sock.get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}
