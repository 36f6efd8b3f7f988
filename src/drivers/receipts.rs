//! Asks providers what calls cost, when they are over and kept.
use super::{
    https,
    till::{Correcting, Correction},
};
use crate::{
    record::{MicroUsd, Share},
    store::Store,
};
use providers::{Bill, Disconnect, Receipt};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{Semaphore, mpsc},
    task::JoinSet,
    time::sleep,
};
use tracing::{debug, warn};
use ureq::Agent;
use uuid::Uuid;

/// Receipts that may wait to be asked for; what comes on top keeps its estimate.
const QUEUE: usize = 1_024;
/// Calls whose cost is waited for; those beyond wait in the queue.
const WAITING: usize = 1_024;
/// Questions at once; the others wait for a place, which each has for the length of one answer.
const AT_ONCE: usize = 32;
/// Before each question. Providers reckon within seconds as a rule; after the last the estimate stands.
const WAITS: [Duration; 6] = [
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(10),
    Duration::from_secs(30),
    Duration::from_secs(120),
    Duration::from_secs(600),
];
/// The longest record that is read: it holds all that was said.
const MAX_ANSWER: u64 = 4 << 20;

/// A call whose providers will tell what it cost.
#[derive(Debug)]
pub struct Owed {
    /// Whose.
    pub domain: Uuid,
    /// Which.
    pub conversation: Uuid,
    /// Where: of each provider that spoke in it and tells.
    pub receipts: Vec<Receipt>,
    /// What each provider had of it, estimated.
    pub shares: Vec<Share>,
    /// The budget it was paid from, if there is one.
    pub tab: Option<Correction>,
}

/// Starts to ask, until every sender is gone; what is not told by then stays untold.
pub fn start(http: Agent, store: Arc<dyn Store>) -> mpsc::Sender<Owed> {
    let (sender, owed) = mpsc::channel(QUEUE);
    tokio::spawn(run(owed, http, store));
    sender
}

async fn run(mut queue: mpsc::Receiver<Owed>, http: Agent, store: Arc<dyn Store>) {
    let (mut waiting, places) = (JoinSet::new(), Arc::new(Semaphore::new(AT_ONCE)));
    while let Some(owed) = queue.recv().await {
        while waiting.try_join_next().is_some() {}
        if waiting.len() >= WAITING {
            waiting.join_next().await;
        }
        let asker = Asker { http: http.clone(), places: Arc::clone(&places) };
        waiting.spawn(settle(owed, asker, Arc::clone(&store), &WAITS));
    }
}

/// Asks until all is told, and keeps the sum, here and in the budget; part of a sum is none.
async fn settle(owed: Owed, asker: Asker, store: Arc<dyn Store>, waits: &[Duration]) {
    let Owed { domain, conversation, receipts: mut open, shares, tab } = owed;
    let mut correcting = None;
    // Of those there are, one tells.
    let Some(provider) = open.first().map(Receipt::provider) else { return };
    let mut cost: u64 = 0;
    for wait in waits {
        sleep(*wait).await;
        let mut later = Vec::new();
        for receipt in open {
            match asker.ask(&receipt).await {
                Bill::Cost(one) => cost = cost.saturating_add(one),
                Bill::NotYet => later.push(receipt),
                Bill::Untold => return warn!(%conversation, "The provider does not tell what a call cost"),
            }
        }
        open = later;
        if !open.is_empty() {
            continue;
        }
        let (estimated, charged) = (estimate(&shares, provider), MicroUsd(cost));
        let on_its_way = correcting.take().or_else(|| tab.clone().map(|tab| tab.begin(estimated, charged)));
        // The record may still be on its way into the database.
        match store.bill(domain, conversation, (provider, charged)).await {
            Ok(true) => {
                on_its_way.into_iter().for_each(Correcting::apply);
                return debug!(%conversation, cost, "What a call cost is in its record");
            }
            Ok(false) => {}
            Err(problem) => {
                debug!(%conversation, %problem, "What a call cost is not kept yet");
                // It may be: who did not hear the answer cannot tell.
                correcting = on_its_way;
            }
        }
    }
    debug!(%conversation, "What a call cost is not in its record");
}

/// What a provider's part of a call was estimated at.
fn estimate(shares: &[Share], provider: &str) -> MicroUsd {
    shares.iter().find(|share| share.provider == provider).map(|share| share.cost).unwrap_or_default()
}

/// Who asks.
struct Asker {
    http: Agent,
    places: Arc<Semaphore>,
}

impl Asker {
    async fn ask(&self, receipt: &Receipt) -> Bill {
        // Nobody closes it.
        let Ok(_place) = self.places.acquire().await else { return Bill::NotYet };
        let request = https::Request { url: receipt.url.clone(), headers: receipt.headers.clone() };
        match https::get(self.http.clone(), request, MAX_ANSWER).await {
            Ok(body) => receipt.read(&body),
            Err(Disconnect::Refused(401 | 403)) => Bill::Untold,
            Err(error) => {
                debug!(?error, "What a call cost is not known yet");
                Bill::NotYet
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{Config, Environment},
        drivers::trust,
        store,
    };
    use providers::{Dialect, Event, Incoming, elevenlabs};
    use std::{
        io::{Read, Write},
        net::TcpListener,
        thread,
        time::Instant,
    };

    const DONE: (&str, &str) = ("200 OK", r#"{"status":"done","metadata":{"cost_fiat":0.5}}"#);
    const NOT_YET: (&str, &str) = ("200 OK", r#"{"status":"processing"}"#);
    const AWAY: (&str, &str) = ("503 Service Unavailable", "");
    const NO: (&str, &str) = ("401 Unauthorized", "{}");
    const UNTOLD: (&str, &str) = ("200 OK", r#"{"status":"done","metadata":{"cost":5}}"#);
    const SOON: &[Duration] = &[Duration::ZERO, Duration::from_millis(1), Duration::from_millis(1)];

    /// A server that answers these, one after another; where it is, and how many it was asked.
    fn server(answers: Vec<(&'static str, &'static str)>) -> (String, thread::JoinHandle<usize>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("ws://{}/v1/convai/conversation", listener.local_addr().unwrap());
        let serve = move || {
            answers
                .iter()
                .filter(|answer| {
                    let (mut stream, _) = listener.accept().unwrap();
                    let mut asked = [0; 4_096];
                    let length = stream.read(&mut asked).unwrap();
                    assert!(String::from_utf8_lossy(&asked[..length]).contains("xi-api-key: sk_1"));
                    let (status, body) = answer;
                    let head =
                        format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
                    stream.write_all((head + body).as_bytes()).is_ok()
                })
                .count()
        };
        (url, thread::spawn(serve))
    }

    fn receipt(url: String) -> Receipt {
        let mut config = elevenlabs::Config::new("agent_1", elevenlabs::Format::Ulaw);
        (config.url, config.api_key) = (url, Some("sk_1".into()));
        let (mut session, now) = (elevenlabs::Session::new(config), Instant::now());
        session.handle_connected(now);
        let begin = r#"{"type":"conversation_initiation_metadata","conversation_initiation_metadata_event":
            {"conversation_id":"conv_1","agent_output_audio_format":"ulaw_8000"}}"#;
        session.handle_incoming(Incoming::Text(begin.into()), now);
        match session.poll_event() {
            Some(Event::Receipt(receipt)) => receipt,
            other => panic!("{other:?}"),
        }
    }

    /// What a provider that answers these is asked, with no conversation in the database to bill.
    async fn asked(answers: Vec<(&'static str, &'static str)>, waits: &[Duration]) -> usize {
        let (url, server) = server(answers);
        let text = "[database]\nurl = \"sqlite::memory:\"\n";
        let database = Config::parse(text, "test", &Environment::new()).unwrap().database;
        let store = store::connect(&database).await.unwrap();
        let owed = Owed {
            domain: Uuid::new_v4(),
            conversation: Uuid::new_v4(),
            receipts: vec![receipt(url)],
            shares: Vec::new(),
            tab: None,
        };
        let http = https::agent(trust::client(rustls::RootCertStore::empty()).unwrap());
        settle(owed, Asker { http, places: Semaphore::new(1).into() }, store, waits).await;
        server.join().unwrap()
    }

    #[tokio::test]
    async fn a_provider_is_asked_until_it_tells_and_no_longer_than_that() {
        for answers in [vec![DONE], vec![NOT_YET, DONE], vec![AWAY, NOT_YET, AWAY], vec![NO], vec![AWAY, UNTOLD]] {
            let wanted = answers.len();
            assert_eq!(asked(answers.clone(), SOON).await, wanted, "{answers:?}");
        }
    }
    #[tokio::test]
    async fn a_provider_that_will_not_tell_is_not_waited_for() {
        let waits = [Duration::ZERO, Duration::from_secs(3_600)];
        for answer in [NO, UNTOLD] {
            let asked = tokio::time::timeout(Duration::from_secs(20), asked(vec![answer], &waits)).await;
            assert_eq!(asked, Ok(1), "{answer:?}");
        }
    }
}
