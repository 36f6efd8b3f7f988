//! Over loopback TCP with TLS, with the drivers of the server.
use super::*;
use crate::drivers::{
    https,
    signed_url::Request,
    ws_client::{Connection, Dialer, FromProvider},
};
use crate::lab::server::trusting;
use providers::Endpoint;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);

async fn server(script: Script) -> (Server, Arc<rustls::ClientConfig>) {
    let script = Script { api_key: Some("sk_1".into()), first_audio_ms: 5, burst: 100.0, ..script };
    let at = "127.0.0.1:0".parse().unwrap();
    let server = Server::start(at, House::from(script), Tls::SelfSigned, None).await.unwrap();
    let tls = trusting(server.certificate_pem().unwrap());
    (server, tls)
}

fn open(session: &Session, tls: &Arc<rustls::ClientConfig>) -> Connection {
    let Endpoint::SignedWebSocket { request: url, headers, member } = session.endpoint() else { panic!("signed") };
    let request = Request { ask: https::Request { url, headers }, member };
    Connection::open_signed(request, https::agent(Arc::clone(tls)), Dialer { tls: Arc::clone(tls), spares: None })
}

async fn greeted(session: &mut Session, connection: &mut Connection) {
    while !std::iter::from_fn(|| session.poll_event()).any(|event| matches!(event, Event::Audio { .. })) {
        while let Some(outgoing) = session.poll_outgoing() {
            connection.send(outgoing);
        }
        match connection.next().await {
            FromProvider::Connected => session.handle_connected(Instant::now()),
            FromProvider::Message(message) => session.handle_incoming(message, Instant::now()),
            FromProvider::Writable => {}
            FromProvider::Disconnected(how) => panic!("{how:?}"),
        }
    }
}

#[tokio::test]
async fn a_url_is_signed_opens_one_conversation_and_what_that_cost_is_told_after_it() {
    let (server, tls) = server(Script { cost_after_ms: 0, ..script(Vec::new()) }).await;
    let mut session = Session::new(Config { url: server.url(), api_key: Some("sk_1".into()), ..config() });
    let mut connection = open(&session, &tls);
    timeout(PATIENCE, greeted(&mut session, &mut connection)).await.expect("the greeting came");
    drop(connection);
    let url = format!("https://{}/v1/convai/conversations/conv_lab_000001", server.address());
    let ask = || https::Request { url: url.clone(), headers: vec![("xi-api-key".into(), "sk_1".into())] };
    let done = async {
        loop {
            let body = https::get(https::agent(Arc::clone(&tls)), ask(), 1 << 20).await.unwrap();
            let record: Value = serde_json::from_str(&body).unwrap();
            if record["status"] == "done" {
                return record;
            }
        }
    };
    let record = timeout(PATIENCE, done).await.expect("the server saw the end");
    assert!(record["metadata"]["cost_fiat"].is_number(), "{record}");

    let url = format!("{}?agent_id=a&conversation_signature=cvtkn_lab_00000001", server.url());
    let again = Connection::open(url, Vec::new(), Dialer { tls: Arc::clone(&tls), spares: None }).next().await;
    assert!(matches!(again, FromProvider::Disconnected(Disconnect::Refused(403))), "{again:?}");
}

#[tokio::test]
async fn a_wrong_key_and_a_full_house_are_refused_where_the_url_is_signed() {
    let busy = Script { faults: Faults { sign_status: Some(429), ..Faults::default() }, ..Script::default() };
    for (script, key, status) in [(Script::default(), "sk_2", 401), (busy, "sk_1", 429)] {
        let (server, tls) = server(script).await;
        let session = Session::new(Config { url: server.url(), api_key: Some(key.into()), ..config() });
        let how = timeout(PATIENCE, open(&session, &tls).next()).await.unwrap();
        assert!(matches!(how, FromProvider::Disconnected(Disconnect::Refused(found)) if found == status), "{how:?}");
    }
}

/// Without its certificate among those that are trusted, nothing is sent there.
#[tokio::test]
async fn a_server_that_nobody_vouches_for_is_not_asked() {
    let (server, _) = server(Script::default()).await;
    let stranger = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap().cert.pem();
    let session = Session::new(Config { url: server.url(), api_key: Some("sk_1".into()), ..config() });
    let how = timeout(PATIENCE, open(&session, &trusting(&stranger)).next()).await.unwrap();
    assert!(matches!(how, FromProvider::Disconnected(Disconnect::Unreachable(_))), "{how:?}");
}
