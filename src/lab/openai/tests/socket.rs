//! The same over loopback TCP, plain and with TLS.
use super::*;
use crate::lab::server::trusting;
use futures_util::{SinkExt, StreamExt};
use media::{Audio, Heard, Law, UtteranceId};
use providers::{Dialect, Disconnect, Endpoint, Event, FailureKind, Incoming, Outgoing, openai};
use tokio::{net::TcpStream, sync::mpsc, time::timeout};
use tokio_tungstenite::{
    Connector, MaybeTlsStream, WebSocketStream, connect_async_tls_with_config,
    tungstenite::{Error, Message, client::IntoClientRequest, http::HeaderValue},
};

const PATIENCE: Duration = Duration::from_secs(20);

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn connect(session: &openai::Session, trusted: Option<&str>) -> Result<Socket, Box<Error>> {
    let Endpoint::WebSocket { url, headers } = session.endpoint() else { panic!("a WebSocket") };
    let mut request = url.into_client_request().unwrap();
    for (name, value) in headers {
        let name: tokio_tungstenite::tungstenite::http::HeaderName = name.parse().unwrap();
        request.headers_mut().insert(name, HeaderValue::from_str(&value).unwrap());
    }
    let connector = trusted.map(|pem| Connector::Rustls(trusting(pem)));
    connect_async_tls_with_config(request, None, true, connector).await.map(|(socket, _)| socket).map_err(Box::new)
}

/// A dialect on a socket.
struct Client {
    session: openai::Session,
    socket: Socket,
}

impl Client {
    async fn open(server: &Server, settings: openai::Config) -> Self {
        let mut session = openai::Session::new(openai::Config { url: server.url(), ..settings });
        let socket = connect(&session, server.certificate_pem()).await.unwrap();
        session.handle_connected(Instant::now());
        Self { session, socket }
    }

    async fn flush(&mut self) {
        while let Some(Outgoing::Text(text)) = self.session.poll_outgoing() {
            self.socket.send(Message::text(text)).await.unwrap();
        }
    }

    /// Carries messages until this event comes.
    async fn until(&mut self, wanted: impl Fn(&Event) -> bool) -> Event {
        let carry = async {
            loop {
                self.flush().await;
                if let Some(event) = std::iter::from_fn(|| self.session.poll_event()).find(&wanted) {
                    return event;
                }
                match self.socket.next().await {
                    Some(Ok(Message::Text(text))) => {
                        self.session.handle_incoming(Incoming::Text(text.as_str().to_owned()), Instant::now());
                    }
                    Some(Ok(Message::Close(frame))) => {
                        let how = Disconnect::Closed(frame.map(|f| (f.code.into(), f.reason.as_str().to_owned())));
                        self.session.handle_disconnected(how, Instant::now());
                    }
                    other => panic!("{other:?}"),
                }
            }
        };
        timeout(PATIENCE, carry).await.expect("the event came")
    }

    fn hear(&mut self, bytes: &[u8]) {
        for frame in bytes.chunks(160) {
            let audio = Audio::G711 { law: Law::Mu, bytes: frame.to_vec() };
            self.session.handle_audio(&audio, Instant::now());
        }
    }
}

#[tokio::test]
async fn handshake_greeting_and_barge_in_over_plain_and_encrypted_sockets() {
    for tls in [Tls::Off, Tls::SelfSigned] {
        let script = Script {
            api_key: Some("sk-lab".into()),
            greeting: Some(Reply::tone(1_000, 8_000)),
            replies: vec![Reply::tone(500, 200)],
            first_audio_ms: 5,
            burst: 100.0,
            ..Script::default()
        };
        let (log, mut logged) = mpsc::channel(4_096);
        let server = Server::start("127.0.0.1:0".parse().unwrap(), script, tls, Some(log)).await.unwrap();
        let first_message = Some("Hello".to_owned());
        let mut client = Client::open(
            &server,
            openai::Config { first_message, ..openai::Config::new("sk-lab", openai::Format::G711(Law::Mu)) },
        )
        .await;
        client.until(|event| matches!(event, Event::Ready)).await;
        client.until(|event| matches!(event, Event::UtteranceDone(UtteranceId(0)))).await;
        client.hear(&speech(300));
        client.until(|event| matches!(event, Event::SpeechStarted)).await;
        let played = Duration::from_millis(1_240);
        client.session.interrupt(Heard { utterance: UtteranceId(0), played, queued: played }, Instant::now());
        client.hear(&silence(700));
        client.until(|event| matches!(event, Event::UtteranceDone(UtteranceId(1)))).await;

        let mut truncated = Vec::new();
        while let Ok(message) = logged.try_recv() {
            let json = message.json();
            if json["type"].as_str().is_some_and(|kind| kind.starts_with("conversation.item.truncate")) {
                truncated.push((message.direction, json["audio_end_ms"].as_u64()));
            }
            assert_ne!(json["type"], "error", "{json}");
        }
        assert_eq!(truncated, [(Direction::FromClient, Some(1_240)), (Direction::ToClient, Some(1_240))]);
        assert_eq!(server.unlogged(), 0);
    }
}

#[tokio::test]
async fn a_wrong_key_is_refused_and_a_session_ends_with_its_reason() {
    let faults = Faults { expire_after_ms: Some(50), ..Faults::default() };
    let script = Script { api_key: Some("sk-lab".into()), faults, ..Script::default() };
    let server = Server::start("127.0.0.1:0".parse().unwrap(), script, Tls::Off, None).await.unwrap();
    let settings =
        openai::Config { url: server.url(), ..openai::Config::new("sk-wrong", openai::Format::G711(Law::Mu)) };
    let refused = connect(&openai::Session::new(settings), None).await.unwrap_err();
    let Error::Http(response) = *refused else { panic!("not refused by HTTP: {refused}") };
    assert_eq!(response.status(), 401);

    let mut client = Client::open(&server, openai::Config::new("sk-lab", openai::Format::G711(Law::Mu))).await;
    let Event::Failed(failure) = client.until(|event| matches!(event, Event::Failed(_))).await else { panic!() };
    assert_eq!(failure.kind, FailureKind::SessionExpired);
}

#[tokio::test]
async fn azure_is_another_path_and_another_header() {
    let script = Script { api_key: Some("key".into()), ..Script::default() };
    let server = Server::start("127.0.0.1:0".parse().unwrap(), script, Tls::Off, None).await.unwrap();
    let azure = server.url().replace("/v1/", "/openai/v1/");
    let preview = server.url().replace("/v1/", "/openai/");
    let cases = [
        (&azure, openai::Auth::ApiKey, "key", None),
        (&azure, openai::Auth::ApiKey, "another", Some(401)),
        (&server.url(), openai::Auth::ApiKey, "key", Some(401)),
        (&preview, openai::Auth::ApiKey, "key", Some(404)),
    ];
    for (url, auth, key, expected) in cases {
        let settings =
            openai::Config { url: url.clone(), auth, ..openai::Config::new(key, openai::Format::G711(Law::Mu)) };
        let refused = connect(&openai::Session::new(settings), None).await.err();
        let status =
            refused.map(|error| if let Error::Http(response) = *error { response.status().as_u16() } else { 0 });
        assert_eq!(status, expected, "{url} {auth:?} {key}");
    }
}
