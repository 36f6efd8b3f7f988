//! Asks for the address of a conversation that is good for one conversation only.
use super::https;
use providers::Disconnect;
use serde_json::Value;
use ureq::Agent;

/// The longest answer that is read: an address and little else.
const MAX_ANSWER: u64 = 64 << 10;

/// Where an address is asked for.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// What answers with JSON.
    pub ask: https::Request,
    /// Which member of the answer is the address.
    pub member: &'static str,
}

/// The address.
///
/// # Errors
/// Nobody answers in time, the answer is a refusal, or there is no address in it.
pub async fn fetch(agent: Agent, request: Request) -> Result<String, Disconnect> {
    let body = https::get(agent, request.ask, MAX_ANSWER).await.map_err(|how| match how {
        Disconnect::Unreachable(why) => unreachable(&why),
        Disconnect::Refused(_) | Disconnect::Closed(_) => how,
    })?;
    let answer: Value = serde_json::from_str(&body).map_err(|_| unreachable("the answer is not JSON"))?;
    let address = answer.get(request.member).and_then(Value::as_str);
    address.map(str::to_owned).ok_or_else(|| unreachable(&format!("there is no {} in the answer", request.member)))
}

fn unreachable(why: &str) -> Disconnect {
    Disconnect::Unreachable(format!("no signed URL: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drivers::trust::client;
    use std::{
        io::{Read, Write},
        net::TcpListener,
        sync::Arc,
        thread,
    };

    /// Nobody is trusted: these requests are plain.
    fn trust() -> Arc<rustls::ClientConfig> {
        client(rustls::RootCertStore::empty()).unwrap()
    }

    /// What a server that answers like this makes of it, and what it was asked.
    fn answered(status: &str, body: &str) -> (Result<String, Disconnect>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/get-signed-url?agent_id=a", listener.local_addr().unwrap());
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = [0; 4_096];
            let length = stream.read(&mut asked).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8_lossy(&asked[..length]).into_owned()
        });
        let headers = vec![("xi-api-key".to_owned(), "sk_1".to_owned())];
        let request = Request { ask: https::Request { url, headers }, member: "signed_url" };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        (runtime.block_on(fetch(https::agent(trust()), request)), server.join().unwrap())
    }

    #[test]
    fn the_address_is_taken_out_of_the_answer_and_the_key_goes_into_a_header() {
        let (address, asked) = answered("200 OK", r#"{"signed_url":"wss://x/?signature=1"}"#);
        assert_eq!(address.unwrap(), "wss://x/?signature=1");
        assert!(asked.starts_with("GET /get-signed-url?agent_id=a HTTP/1.1\r\n"), "{asked}");
        assert!(asked.contains("xi-api-key: sk_1\r\n"), "{asked}");
    }

    #[test]
    fn a_refusal_keeps_its_status_and_an_answer_without_an_address_is_none() {
        assert_eq!(answered("401 Unauthorized", "{}").0, Err(Disconnect::Refused(401)));
        assert_eq!(answered("302 Found", "").0, Err(Disconnect::Refused(302)));
        for body in ["", "not json", "{}", r#"{"signed_url":5}"#] {
            assert!(matches!(answered("200 OK", body).0, Err(Disconnect::Unreachable(_))), "{body}");
        }
    }
}
