//! HTTP requests of one call beside its connection, owned and polled by its call's task: an answer crosses no queue, and
//! while the call does not read it, TCP slows the service. Dropping a request closes its connection.
use http_body_util::Full;
use hyper::{
    HeaderMap, Request, Response,
    body::{Body, Bytes, Incoming},
    header::{HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT},
};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use providers::{Errand, HttpRequest, MOST_REQUESTS, Method, Part, RequestId};
use std::{
    collections::VecDeque,
    error::Error,
    fmt,
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::timeout;

/// A TCP connection.
const CONNECT: Duration = Duration::from_secs(4);
/// From the request to the head of its answer: longer than any dialect waits.
const HEAD: Duration = Duration::from_secs(20);
/// A connection that nothing was asked on for so long is closed.
const IDLE: Duration = Duration::from_secs(60);
/// Connections to one service that wait to be asked something.
const MOST_IDLE: usize = 4;

/// Carries what a dialect asks over HTTP. Its connections are its own, are kept for what is asked next, and end with it.
pub struct Requests {
    tls: Arc<rustls::ClientConfig>,
    /// From the first question on: most calls ask nothing, and it takes memory.
    client: Option<Http>,
    running: VecDeque<(RequestId, State)>,
}

type Http = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

enum State {
    Asking(Pin<Box<dyn Future<Output = Result<Response<Incoming>, String>>>>),
    Answering(Incoming),
    /// It failed, and that has not been told yet.
    Failed(String),
}

impl fmt::Debug for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Requests").field("running", &self.running.len()).finish_non_exhaustive()
    }
}

impl Requests {
    /// Trusts whom `tls` trusts.
    pub fn new(tls: &Arc<rustls::ClientConfig>) -> Self {
        Self { tls: Arc::clone(tls), client: None, running: VecDeque::new() }
    }

    /// Begins or drops requests; work for the speech engine is not for it, and comes back.
    pub fn carry(&mut self, errand: Errand) -> Option<(providers::JobId, providers::Job)> {
        match errand {
            Errand::Send(id, request) => {
                let state = match request_of(request) {
                    Ok(_) if self.running.len() >= MOST_REQUESTS => State::Failed("too many requests at once".into()),
                    Ok(request) => self.ask(request),
                    Err(why) => State::Failed(why),
                };
                self.running.push_back((id, state));
            }
            Errand::Abort(id) => self.running.retain(|(running, _)| *running != id),
            Errand::AbortAll => self.running.clear(),
            Errand::Job(id, job) => return Some((id, job)),
        }
        None
    }

    fn ask(&mut self, request: Request<Full<Bytes>>) -> State {
        let answer = self.client.get_or_insert_with(|| http(&self.tls)).request(request);
        State::Asking(Box::pin(async move {
            match timeout(HEAD, answer).await {
                Ok(answer) => answer.map_err(|error| causes(&error)),
                Err(_) => Err(format!("no answer within {} s", HEAD.as_secs())),
            }
        }))
    }

    /// The next part of an answer; nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> (RequestId, Part) {
        poll_fn(|context| self.poll_next(context)).await
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<(RequestId, Part)> {
        for _ in 0..self.running.len() {
            // Whoever was asked goes to the end: one that never pauses holds up no other.
            let Some((id, mut state)) = self.running.pop_front() else { break };
            let told = state.poll(context);
            let over = matches!(told, Poll::Ready(Part::End | Part::Failed(_)));
            if !over {
                self.running.push_back((id, state));
            }
            if let Poll::Ready(part) = told {
                return Poll::Ready((id, part));
            }
        }
        Poll::Pending
    }
}

fn http(tls: &Arc<rustls::ClientConfig>) -> Http {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(CONNECT));
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(rustls::ClientConfig::clone(tls))
        .https_or_http()
        .enable_http1()
        .wrap_connector(connector);
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(MOST_IDLE)
        .build(connector)
}

impl State {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Part> {
        loop {
            match self {
                Self::Failed(why) => return Poll::Ready(Part::Failed(std::mem::take(why))),
                Self::Asking(answer) => match answer.as_mut().poll(context) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Err(why)) => return Poll::Ready(Part::Failed(why)),
                    Poll::Ready(Ok(answer)) => {
                        let (status, retry_after) = (answer.status().as_u16(), retry_after(answer.headers()));
                        *self = Self::Answering(answer.into_body());
                        return Poll::Ready(Part::Head { status, retry_after });
                    }
                },
                Self::Answering(body) => match Pin::new(body).poll_frame(context) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(None) => return Poll::Ready(Part::End),
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(Part::Failed(causes(&error))),
                    Poll::Ready(Some(Ok(frame))) => {
                        if let Ok(bytes) = frame.into_data() {
                            return Poll::Ready(Part::Chunk(bytes.into()));
                        }
                    }
                },
            }
        }
    }
}

fn retry_after(headers: &HeaderMap) -> Option<u64> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()
}

fn request_of(request: HttpRequest) -> Result<Request<Full<Bytes>>, String> {
    let method = match request.method {
        Method::Get => hyper::Method::GET,
        Method::Post => hyper::Method::POST,
    };
    let mut asked = Request::new(Full::new(Bytes::from(request.body)));
    *asked.method_mut() = method;
    *asked.uri_mut() = request.url.parse().map_err(|error| format!("the address is none: {error}"))?;
    let headers = asked.headers_mut();
    headers.insert(USER_AGENT, HeaderValue::from_static(concat!("Ramal/", env!("CARGO_PKG_VERSION"))));
    for (name, value) in request.headers {
        let name = HeaderName::try_from(name).map_err(|error| error.to_string())?;
        let mut value = HeaderValue::try_from(value).map_err(|_| "a header value is not printable")?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(asked)
}

/// What an error says, and what is behind it.
fn causes(error: &dyn Error) -> String {
    let chain = std::iter::successors(Some(error), |error| (*error).source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::{super::trust::client, *};
    use std::{
        io::{Read, Write},
        net::{TcpListener, TcpStream},
        sync::mpsc,
        thread::{self, JoinHandle},
    };

    /// A service that hands its connections to `then`.
    fn service<T: Send + 'static>(then: impl FnOnce(TcpListener) -> T + Send + 'static) -> (String, JoinHandle<T>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v1/speak", listener.local_addr().unwrap());
        (url, thread::spawn(move || then(listener)))
    }

    /// Reads a request whose body ends in a full stop.
    fn read(stream: &mut TcpStream) -> String {
        let (mut text, mut buffer) = (String::new(), [0; 1_024]);
        while !text.ends_with('.') {
            let length = stream.read(&mut buffer).unwrap();
            text += std::str::from_utf8(&buffer[..length]).unwrap();
        }
        text
    }

    fn post(url: &str) -> HttpRequest {
        let headers = vec![("Authorization".to_owned(), "Bearer k".to_owned())];
        HttpRequest { method: Method::Post, url: url.to_owned(), headers, body: b"Say it.".to_vec() }
    }

    fn run<F: Future>(test: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
    }

    fn requests() -> Requests {
        Requests::new(&client(rustls::RootCertStore::empty()).unwrap())
    }

    const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

    #[test]
    fn an_answer_is_told_as_it_comes_and_its_connection_is_used_again() {
        let (go, wait) = mpsc::channel();
        let (url, service) = service(move |listener| {
            let mut stream = listener.accept().unwrap().0;
            let first = read(&mut stream);
            stream.write_all(HEAD).unwrap();
            stream.write_all(b"3\r\none\r\n").unwrap();
            wait.recv().unwrap();
            stream.write_all(b"3\r\ntwo\r\n0\r\n\r\n").unwrap();
            let second = read(&mut stream);
            stream.write_all(b"HTTP/1.1 429 Slow\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n").unwrap();
            (first, second)
        });
        run(async {
            let (mut requests, id) = (requests(), RequestId(7));
            assert_eq!(requests.carry(Errand::Send(id, post(&url))), None);
            assert_eq!(requests.next().await, (id, Part::Head { status: 200, retry_after: None }));
            assert_eq!(requests.next().await, (id, Part::Chunk(b"one".to_vec())));
            go.send(()).unwrap();
            assert_eq!(requests.next().await, (id, Part::Chunk(b"two".to_vec())));
            assert_eq!(requests.next().await, (id, Part::End));
            let id = RequestId(8);
            requests.carry(Errand::Send(id, post(&url)));
            assert_eq!(requests.next().await, (id, Part::Head { status: 429, retry_after: Some(7) }));
            assert_eq!(requests.next().await, (id, Part::End));
        });
        let (first, second) = service.join().unwrap();
        assert!(first.starts_with("POST /v1/speak HTTP/1.1\r\n") && first.contains("authorization: Bearer k\r\n"));
        assert!(second.ends_with("Say it."), "{second}");
    }

    #[test]
    fn what_is_aborted_is_closed_and_not_told_and_the_rest_goes_on() {
        let (url, service) = service(|listener| {
            let mut streams: Vec<_> = (0..2).map(|_| listener.accept().unwrap().0).collect();
            for stream in &mut streams {
                read(stream);
                stream.write_all(HEAD).unwrap();
                stream.write_all(b"3\r\none\r\n").unwrap();
            }
            // One of the two is closed by the other side; then the other, with the call.
            streams.into_iter().map(|mut stream| stream.read(&mut [0; 16]).unwrap_or(0)).collect::<Vec<_>>()
        });
        run(async {
            let mut requests = requests();
            for id in [1, 2] {
                requests.carry(Errand::Send(RequestId(id), post(&url)));
            }
            let mut told = Vec::new();
            while told.len() < 4 {
                told.push(requests.next().await);
            }
            requests.carry(Errand::Abort(RequestId(1)));
            assert_eq!(requests.running.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [RequestId(2)]);
            requests.carry(Errand::AbortAll);
            assert!(requests.running.is_empty());
            // The connections notice when the runtime lets them.
            tokio::time::sleep(Duration::from_millis(20)).await;
        });
        assert_eq!(service.join().unwrap(), [0, 0]);
    }

    #[test]
    fn what_cannot_be_asked_fails_in_words() {
        run(async {
            let mut requests = requests();
            let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            for (number, (url, why)) in
                (0..).zip([(format!("http://{nobody}/"), "refused"), ("no address".to_owned(), "address")])
            {
                requests.carry(Errand::Send(RequestId(number), post(&url)));
                let (id, part) = requests.next().await;
                let Part::Failed(said) = part else { panic!("{part:?}") };
                assert!(id == RequestId(number) && said.contains(why), "{said}");
            }
            let (url, _service) = service(|listener| drop(listener.accept()));
            let many = u64::try_from(MOST_REQUESTS).unwrap() + 1;
            (0..many).for_each(|id| assert!(requests.carry(Errand::Send(RequestId(id), post(&url))).is_none()));
            assert!(matches!(requests.running.back(), Some((_, State::Failed(why))) if why.contains("too many")));
        });
    }
}
