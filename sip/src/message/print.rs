//! A message to bytes (RFC 3261 §7). Values are clean already; start lines are cleaned here.
use super::{Headers, Message, Request, Response, lex};

impl Request {
    /// The request as on the wire, with its Content-Length.
    pub fn to_bytes(&self) -> Vec<u8> {
        let method = self.method.as_str();
        // `Method::Other` is open to any text.
        let method = if lex::is_token(method) { method } else { "INVALID" };
        print(&format!("{method} {} SIP/2.0", self.uri), &self.headers, &self.body)
    }
}

impl Response {
    /// The response as on the wire, with its Content-Length.
    pub fn to_bytes(&self) -> Vec<u8> {
        print(&format!("SIP/2.0 {} {}", self.status, lex::one_line(&self.reason)), &self.headers, &self.body)
    }
}

impl Message {
    /// The message as on the wire, with its Content-Length.
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Request(request) => request.to_bytes(),
            Self::Response(response) => response.to_bytes(),
        }
    }
}

fn print(start_line: &str, headers: &Headers, body: &[u8]) -> Vec<u8> {
    let mut head = String::with_capacity(1024);
    head.push_str(start_line);
    head.push_str("\r\n");
    headers.print(&mut head);
    head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(body);
    bytes
}
