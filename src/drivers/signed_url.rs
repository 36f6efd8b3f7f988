//! Asks for the address of a conversation that is good for one conversation only.
use providers::Disconnect;
use serde_json::Value;
use std::time::Duration;
use tokio::{task::spawn_blocking, time::timeout};
use ureq::{Agent, http::StatusCode};

/// From the request to the whole of the answer.
const ANSWER: Duration = Duration::from_secs(4);
/// The longest answer that is read: an address and little else.
const MAX_ANSWER: u64 = 64 << 10;

/// Where an address is asked for.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// `http://` or `https://`.
    pub url: String,
    /// Header name and value; they may hold secrets.
    pub headers: Vec<(String, String)>,
    /// Which member of the JSON answer is the address.
    pub member: &'static str,
}

/// Who asks; it trusts public certificates.
pub fn agent() -> Agent {
    Agent::config_builder()
        .timeout_global(Some(ANSWER))
        .http_status_as_error(false)
        .max_redirects(0)
        // As the WebSocket that follows: straight to the provider.
        .proxy(None)
        .user_agent(concat!("Ramal/", env!("CARGO_PKG_VERSION")))
        .build()
        .new_agent()
}

/// The address.
///
/// # Errors
/// Nobody answers in time, the answer is a refusal, or there is no address in it.
pub async fn fetch(agent: Agent, request: Request) -> Result<String, Disconnect> {
    // The agent keeps its own deadline; this one holds when no thread was free to start it.
    match timeout(ANSWER * 2, spawn_blocking(move || get(&agent, &request))).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => Err(unreachable("the request for a signed URL broke")),
        Err(_) => Err(unreachable("no signed URL in time")),
    }
}

fn get(agent: &Agent, request: &Request) -> Result<String, Disconnect> {
    let wanted = request.headers.iter().fold(agent.get(&request.url), |get, (name, value)| get.header(name, value));
    // What the agent says of a failure may quote the URL, which holds no secret yet.
    let mut response = wanted.call().map_err(|error| unreachable(&format!("no signed URL: {error}")))?;
    if response.status() != StatusCode::OK {
        return Err(Disconnect::Refused(response.status().as_u16()));
    }
    let body = response.body_mut().with_config().limit(MAX_ANSWER).read_to_string();
    let body = body.map_err(|error| unreachable(&format!("no signed URL: {error}")))?;
    let answer: Value = serde_json::from_str(&body).map_err(|_| unreachable("the answer with the URL is not JSON"))?;
    let address = answer.get(request.member).and_then(Value::as_str);
    address.map(str::to_owned).ok_or_else(|| unreachable(&format!("there is no {} in the answer", request.member)))
}

fn unreachable(why: &str) -> Disconnect {
    Disconnect::Unreachable(why.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io::{Read, Write},
        net::TcpListener,
        thread,
    };

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
        let request = Request { url, headers, member: "signed_url" };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        (runtime.block_on(fetch(agent(), request)), server.join().unwrap())
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
