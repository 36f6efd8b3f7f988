//! `Via` (RFC 3261 §20.42) with `rport` (RFC 3581).
use super::{Headers, Name, Params, lex};
use crate::{transport::Transport, uri};
use std::{
    borrow::Cow,
    fmt,
    net::{IpAddr, SocketAddr},
};

/// The only version there is.
const VERSION: &str = "2.0";

/// One hop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Via {
    /// `2.0`; a request with any other is refused, but refused with this Via.
    version: Cow<'static, str>,
    /// `UDP`, `TCP`, `TLS` or any other token.
    pub transport: String,
    /// Host of sent-by as written, IPv6 in brackets.
    pub host: String,
    /// Port of sent-by.
    pub port: Option<u16>,
    /// branch, rport, received and others.
    pub params: Params,
}

impl Via {
    /// Ours: sent-by `local`, with this branch, asking for `rport`.
    pub fn new(transport: &str, local: SocketAddr, branch: &str) -> Self {
        let mut params = Params::default();
        params.set_flag("rport");
        params.set("branch", branch);
        let version = Cow::Borrowed(VERSION);
        Self { version, transport: transport.to_owned(), host: host_text(local.ip()), port: Some(local.port()), params }
    }

    /// Reads one value. `None` if it is not `SIP/version/transport sent-by` with parameters.
    pub fn parse(value: &str) -> Option<Self> {
        let (protocol, rest) = value.split_once('/')?;
        let (version, rest) = rest.split_once('/')?;
        let version = version.trim();
        if !protocol.trim().eq_ignore_ascii_case("SIP") || !lex::is_token(version) {
            return None;
        }
        let version = if version == VERSION { Cow::Borrowed(VERSION) } else { Cow::Owned(version.to_owned()) };
        let rest = rest.trim_start();
        let (transport, rest) = rest.split_once(char::is_whitespace)?;
        let (sent_by, params) = rest.split_at_checked(rest.find(';').unwrap_or(rest.len()))?;
        let (host, port) = uri::host_port(sent_by.trim()).ok()?;
        if !lex::is_token(transport) {
            return None;
        }
        let params = Params::parse(params)?;
        Some(Self { version, transport: transport.to_owned(), host: host.to_owned(), port, params })
    }

    /// Whether it is of the version that we speak.
    pub fn is_version_2(&self) -> bool {
        self.version == VERSION
    }

    /// The branch; empty if there is none.
    pub fn branch(&self) -> &str {
        self.params.value("branch").unwrap_or_default()
    }

    /// Sent-by as `host` or `host:port`.
    pub fn sent_by(&self) -> String {
        match self.port {
            Some(port) => format!("{}:{port}", self.host),
            None => self.host.clone(),
        }
    }

    /// `received`, or the host where it is an address.
    pub fn received(&self) -> Option<IpAddr> {
        let text = self.params.value("received").unwrap_or(&self.host);
        uri::ip(text).or_else(|| text.parse().ok())
    }

    /// Value of `rport`, if it is filled in.
    pub fn rport(&self) -> Option<u16> {
        self.params.value("rport")?.parse().ok()
    }

    /// Notes where the request came from: `received` (RFC 3261 §18.2.1) and, if asked, `rport` (RFC 3581 §4).
    pub fn stamp(&mut self, source: SocketAddr) {
        let asked = self.params.value("rport").is_some();
        if asked {
            self.params.set("rport", &source.port().to_string());
        }
        if asked || uri::ip(&self.host) != Some(source.ip()) {
            self.params.set("received", &source.ip().to_string());
        }
    }

    /// Where the sender accepts connections (RFC 3261 §18.2.2), after [`Via::stamp`].
    pub fn sent_by_address(&self, transport: Transport) -> Option<SocketAddr> {
        Some(SocketAddr::new(self.received()?, self.port.unwrap_or(transport.default_port())))
    }

    /// Where a response over a datagram transport goes (RFC 3261 §18.2.2, RFC 3581 §4), after [`Via::stamp`].
    pub fn response_address(&self) -> Option<SocketAddr> {
        let port = self.rport().or(self.port).unwrap_or(5060);
        Some(SocketAddr::new(self.received()?, port))
    }
}

fn host_text(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SIP/{}/{} {}{}", self.version, self.transport, self.sent_by(), self.params)
    }
}

impl Headers {
    /// The topmost Via.
    pub fn via(&self) -> Option<Via> {
        self.first(Name::Via).and_then(Via::parse)
    }

    /// All Vias, topmost first; ones that cannot be read are left out.
    pub fn vias(&self) -> Vec<Via> {
        self.all(Name::Via).filter_map(Via::parse).collect()
    }

    /// [`Via::stamp`] on the topmost Via.
    pub fn stamp_via(&mut self, source: SocketAddr) {
        if let Some(mut via) = self.via() {
            via.stamp(source);
            self.replace_first(Name::Via, via.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads() {
        let via = Via::parse("SIP / 2.0 / TLS  spindle.example.com : 5061 ; branch = z9hG4bK9ik8 ; rport").unwrap();
        assert_eq!(via.to_string(), "SIP/2.0/TLS spindle.example.com:5061;branch=z9hG4bK9ik8;rport");
        assert_eq!((via.branch(), via.rport(), via.received()), ("z9hG4bK9ik8", None, None));
        let v6 = Via::parse("SIP/2.0/UDP [2001:db8::9:1];received=2001:db8::9:255;branch=z").unwrap();
        assert_eq!(v6.response_address(), "[2001:db8::9:255]:5060".parse().ok());
        for bad in ["", "SIP/2.0/UDP", "SIP/7 0/UDP h", "HTTP/2.0/UDP h", "SIP/2.0/UDP h:0x1", "SIP/2.0/UDP ;branch=1"]
        {
            assert_eq!(Via::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn stamps_the_source() {
        let source: SocketAddr = "192.0.2.1:9988".parse().unwrap();
        let table = [
            (
                "SIP/2.0/UDP 10.1.1.1:4540;rport;branch=b",
                "SIP/2.0/UDP 10.1.1.1:4540;rport=9988;branch=b;received=192.0.2.1",
            ),
            ("SIP/2.0/UDP 192.0.2.1:4540;branch=b", "SIP/2.0/UDP 192.0.2.1:4540;branch=b"),
            // RFC 3581 §4: with rport, received is due even where it repeats the host.
            ("SIP/2.0/UDP 192.0.2.1;rport", "SIP/2.0/UDP 192.0.2.1;rport=9988;received=192.0.2.1"),
            ("SIP/2.0/UDP host;branch=b", "SIP/2.0/UDP host;branch=b;received=192.0.2.1"),
        ];
        for (before, after) in table {
            let mut headers = Headers::new();
            headers.push(Name::Via, before);
            headers.stamp_via(source);
            assert_eq!(headers.first(Name::Via), Some(after));
        }
        let own = Via::new("UDP", "[::1]:5060".parse().unwrap(), "z9hG4bK1");
        assert_eq!(own.to_string(), "SIP/2.0/UDP [::1]:5060;rport;branch=z9hG4bK1");
        assert_eq!(own.response_address(), "[::1]:5060".parse().ok());
    }
}
