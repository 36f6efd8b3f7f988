//! Over loopback TCP with TLS.
use super::*;
use crate::lab::server::trusting;
use futures_util::{SinkExt, StreamExt};
use providers::Endpoint;
use tokio::time::timeout;
use tokio_tungstenite::{
    Connector, connect_async_tls_with_config,
    tungstenite::{Error, Message, client::IntoClientRequest, http::HeaderValue},
};

const PATIENCE: Duration = Duration::from_secs(20);

fn request(session: &Session) -> tokio_tungstenite::tungstenite::http::Request<()> {
    let Endpoint::WebSocket { url, headers } = session.endpoint() else { panic!("a WebSocket") };
    let mut request = url.into_client_request().unwrap();
    for (name, value) in headers {
        let name: tokio_tungstenite::tungstenite::http::HeaderName = name.parse().unwrap();
        request.headers_mut().insert(name, HeaderValue::from_str(&value).unwrap());
    }
    request
}

#[tokio::test]
async fn a_greeting_comes_in_binary_frames_and_a_wrong_key_is_refused() {
    let script = Script { api_key: Some("k".into()), first_audio_ms: 5, burst: 100.0, ..script(Vec::new()) };
    let server = Server::start("127.0.0.1:0".parse().unwrap(), script, Tls::SelfSigned, None).await.unwrap();
    let pem = server.certificate_pem().unwrap().to_owned();
    let config = Config { url: server.url(), ..config() };

    let stranger = Session::new(Config { api_key: "wrong".into(), ..config.clone() });
    let refused =
        connect_async_tls_with_config(request(&stranger), None, true, Some(Connector::Rustls(trusting(&pem)))).await;
    let Err(Error::Http(response)) = refused else { panic!("not refused by HTTP") };
    assert_eq!(response.status(), 400);

    let mut session = Session::new(config);
    let connected =
        connect_async_tls_with_config(request(&session), None, true, Some(Connector::Rustls(trusting(&pem)))).await;
    let (mut socket, _) = connected.unwrap();
    session.handle_connected(Instant::now());
    let carry = async {
        loop {
            while let Some(Outgoing::Text(text)) = session.poll_outgoing() {
                socket.send(Message::text(text)).await.unwrap();
            }
            if std::iter::from_fn(|| session.poll_event()).any(|event| matches!(event, Event::UtteranceDone(_))) {
                return;
            }
            let Some(Ok(Message::Binary(bytes))) = socket.next().await else { panic!("not binary") };
            session.handle_incoming(Incoming::Binary(bytes.to_vec()), Instant::now());
        }
    };
    timeout(PATIENCE, carry).await.expect("the greeting came");
}
