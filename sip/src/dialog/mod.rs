//! Dialog state, RFC 3261 §12: who talks with whom, where requests go, and in what order.
mod ack;
mod exchange;
mod leg;
mod prack;
mod refer;
mod refresh;
mod requests;
mod session_timer;
mod uac;
mod uas;

pub(crate) use leg::{Leg, Outcome};
pub(crate) use refresh::interval_too_small;
pub(crate) use requests::{capabilities, not_ours};
pub(crate) use session_timer::{MIN_SE, SessionTimer};
pub(crate) use uac::decline_late_answer;
pub(crate) use uas::describe;

use crate::{
    endpoint::core::{ALLOW, Core, SUPPORTED},
    locate::Target,
    message::{Headers, Method, Name, NameAddr, Replaces, Request, Response, Via},
    transaction::key::is_unique,
    transport::{Hop, Transport, is_private},
    uri::{Scheme, Uri, UriError},
};
use std::{net::SocketAddr, time::Instant};

/// The two sides of one dialog as we see them.
#[derive(Clone, Debug)]
pub(crate) struct Dialog {
    call_id: String,
    local: NameAddr,
    remote: NameAddr,
    /// The peer's Contact, verbatim.
    target: Uri,
    routes: Vec<NameAddr>,
    local_cseq: u32,
    remote_cseq: Option<u32>,
    contact: String,
    /// Where the peer's messages come from.
    hop: Hop,
    /// The host by which the peer knows itself, when its packets come from elsewhere.
    behind_nat: Option<String>,
    connection: Connection,
}

/// What is left of the stream that the peer came by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Connection {
    Open,
    Lost,
}

impl Dialog {
    /// The dialog that an INVITE to us begins (RFC 3261 §12.1.1). `None` if the request lacks what it needs.
    pub(crate) fn incoming(request: &Request, hop: Hop, (tag, now): (&str, Instant), core: &mut Core) -> Option<Self> {
        let headers = &request.headers;
        let via = headers.via()?;
        let dialog = Self {
            call_id: headers.call_id()?.to_owned(),
            local: headers.to()?.with_tag(tag),
            remote: headers.from()?,
            target: remote_target(headers, &via)?,
            routes: headers.record_routes()?,
            local_cseq: core.first_cseq(),
            remote_cseq: Some(headers.cseq()?.number),
            contact: core.contact(&request.uri.user_unescaped(), hop),
            hop,
            behind_nat: behind_nat(&via, hop),
            connection: Connection::Open,
        };
        core.look_up(dialog.first_hop(), now);
        Some(dialog)
    }

    /// The dialog that an INVITE of ours may begin; the peer's tag, target and route come with its response.
    pub(crate) fn outgoing(local: NameAddr, to: Uri, hop: Hop, core: &mut Core) -> Self {
        let user = local.uri.user_unescaped();
        Self {
            call_id: core.random.token(),
            local: local.with_tag(&core.random.token()),
            remote: NameAddr::new(to.clone()),
            target: to,
            routes: Vec::new(),
            local_cseq: core.first_cseq(),
            remote_cseq: None,
            contact: core.contact(&user, hop),
            hop,
            behind_nat: None,
            connection: Connection::Open,
        }
    }

    /// The proxies our INVITE goes through.
    pub(crate) fn preload(&mut self, route: Vec<NameAddr>) {
        self.routes = route;
    }

    /// The dialog that an INVITE sent by us would begin, for an answer that no leg waits for.
    pub(crate) fn of_request(invite: &Request, hop: Hop) -> Option<Self> {
        let headers = &invite.headers;
        Some(Self {
            call_id: headers.call_id()?.to_owned(),
            local: headers.from()?,
            remote: headers.to()?,
            target: invite.uri.clone(),
            routes: headers.routes()?,
            local_cseq: headers.cseq()?.number,
            remote_cseq: None,
            contact: headers.first(Name::Contact)?.to_owned(),
            hop,
            behind_nat: None,
            connection: Connection::Open,
        })
    }

    /// Takes tag, target and route of the first early dialog, so that its requests find us.
    pub(crate) fn confirm_early(&mut self, response: &Response, core: &mut Core, now: Instant) {
        if self.remote.tag().is_none() {
            self.confirm(response, core, now);
        }
    }

    /// Takes the peer's tag, target and route from a response above 100 (RFC 3261 §12.1.2, §13.2.2.4).
    pub(crate) fn confirm(&mut self, response: &Response, core: &mut Core, now: Instant) {
        if let Some(to) = response.headers.to().filter(|to| to.tag().is_some()) {
            if to.tag() != self.remote.tag() {
                self.remote_cseq = None;
            }
            self.remote = to;
        }
        // What the response records is the whole route, even if it is nothing.
        if let Some(mut routes) = response.headers.record_routes() {
            routes.reverse();
            self.routes = routes;
        }
        self.retarget(&response.headers, core, now);
    }

    /// An INVITE or UPDATE of the peer came this way: a phone that moved to another network is behind another NAT. One
    /// that came over another transport, as for its size, says nothing of the way back. Nor does one from elsewhere
    /// that names the address where the peer was reached so far: a machine or a cluster of several has not moved.
    pub(crate) fn come_by(&mut self, headers: &Headers, hop: Hop) {
        let Some(via) = headers.via().filter(|_| hop.transport == self.hop.transport) else { return };
        let reached = self.hop.remote.ip();
        if hop.remote.ip() != reached && crate::uri::ip(&via.host) == Some(reached) {
            return;
        }
        self.behind_nat = behind_nat(&via, hop);
        (self.hop, self.connection) = (hop, Connection::Open);
    }

    /// Target refresh (RFC 3261 §12.2): the Contact of an INVITE or UPDATE, or of its 2xx.
    pub(crate) fn retarget(&mut self, headers: &Headers, core: &mut Core, now: Instant) {
        if let Some(contact) = headers.contact() {
            self.target = contact.uri;
        }
        core.look_up(self.first_hop(), now);
    }

    /// By which our side finds the dialog.
    pub(crate) fn key(&self) -> (String, String) {
        (self.call_id.clone(), self.local.tag().unwrap_or_default().to_owned())
    }

    /// Our tag.
    pub(crate) fn local_tag(&self) -> &str {
        self.local.tag().unwrap_or_default()
    }

    /// Whether a request comes from the other side of this very dialog.
    pub(crate) fn is_peer(&self, request: &Headers) -> bool {
        let theirs = request.from();
        self.remote.tag() == theirs.as_ref().and_then(NameAddr::tag)
    }

    /// Whether the other side has this tag; a Replaces says `0` for one without (RFC 3891 §3).
    pub(crate) fn is_with(&self, tag: &str) -> bool {
        self.remote.tag().unwrap_or("0") == tag
    }

    /// The dialog as its other side knows it, for an INVITE with Replaces to that side.
    pub(crate) fn as_replaces(&self) -> Option<Replaces> {
        let (call_id, from_tag) = self.key();
        Some(Replaces { call_id, to_tag: self.remote.tag()?.to_owned(), from_tag, early_only: false })
    }

    /// Whether a response comes from the other side of this very dialog.
    pub(crate) fn is_answerer(&self, response: &Headers) -> bool {
        self.remote.tag() == response.to().as_ref().and_then(NameAddr::tag)
    }

    /// Accepts the number of a request of the peer; `false` if it is out of order (RFC 3261 §12.2.2).
    pub(crate) fn accept_cseq(&mut self, number: u32) -> bool {
        let in_order = self.remote_cseq.is_none_or(|last| number >= last);
        if in_order {
            self.remote_cseq = Some(number);
        }
        in_order
    }

    /// A new request in the dialog (RFC 3261 §12.2.1.1), with its own number.
    pub(crate) fn request(&mut self, method: Method, core: &mut Core) -> Request {
        let number = self.next_cseq();
        self.numbered(method, number, core)
    }

    /// The next number of our own.
    pub(crate) fn next_cseq(&mut self) -> u32 {
        // RFC 3261 §8.1.1.5: below 2^31.
        self.local_cseq = self.local_cseq.wrapping_add(1) & 0x7fff_ffff;
        self.local_cseq
    }

    /// A request with a number given before: the ACK of a 2xx.
    pub(crate) fn numbered(&self, method: Method, number: u32, core: &mut Core) -> Request {
        let (uri, routes) = self.strict_or_loose();
        let mut request = core.request(method.clone(), uri, self.next_hop(core));
        let headers = &mut request.headers;
        for route in routes {
            headers.push(Name::Route, route.to_string());
        }
        headers.push(Name::From, self.local.to_string());
        headers.push(Name::To, self.remote.to_string());
        headers.push(Name::CallId, &self.call_id);
        headers.push(Name::CSeq, format!("{number} {method}"));
        let refreshes = matches!(method, Method::Invite | Method::Update | Method::Refer);
        if refreshes {
            headers.push(Name::Contact, &self.contact);
            headers.push(Name::Allow, ALLOW);
            headers.push(Name::Supported, SUPPORTED);
        }
        if method != Method::Ack && !core.config.user_agent.is_empty() {
            headers.push(Name::UserAgent, &core.config.user_agent);
        }
        request
    }

    /// The URI that a request in the dialog goes to: RFC 3261 §8.1.2.
    fn first_hop(&self) -> &Uri {
        self.routes.first().map_or(&self.target, |route| &route.uri)
    }

    /// Whether it is not known yet where requests go, and soon will be.
    pub(crate) fn wants_name(&self, core: &Core) -> bool {
        core.names.is_awaited(self.first_hop())
    }

    /// Where a request in the dialog goes. A name that leads nowhere leads where the peer's messages come from, and so
    /// does what a peer behind a NAT says of itself.
    pub(crate) fn next_hop(&self, core: &Core) -> Hop {
        let uri = self.first_hop();
        let Some((transport, remote)) = self.server(uri, core) else { return self.hop };
        let ip = remote.ip();
        let natted = self.behind_nat.as_ref().is_some_and(|host| host.eq_ignore_ascii_case(uri.host()));
        if natted || (is_private(ip) && !is_private(self.hop.remote.ip())) {
            return self.hop;
        }
        let same_stream = transport.is_reliable() && transport == self.hop.transport;
        if same_stream && ip == self.hop.remote.ip() && self.connection == Connection::Open {
            return self.hop;
        }
        let same_family = remote.is_ipv4() == self.hop.remote.is_ipv4();
        if transport == self.hop.transport && same_family {
            return Hop { remote, ..self.hop };
        }
        core.hop(transport, remote).unwrap_or(self.hop)
    }

    /// Over what a URI is reached, and where. Of several servers the one that the peer came by, if it is among them.
    fn server(&self, uri: &Uri, core: &Core) -> Option<(Transport, SocketAddr)> {
        let Some(ip) = uri.host_ip() else {
            let targets = core.names.targets(uri);
            let here =
                |target: &&Target| target.transport == self.hop.transport && target.remote.ip() == self.hop.remote.ip();
            let target = targets.iter().find(here).or(targets.first())?;
            return Some((target.transport, target.remote));
        };
        let named = uri.param("transport").and_then(Transport::from_param);
        let transport = match (uri.scheme(), named) {
            (Scheme::Sips, _) => Transport::Tls,
            (Scheme::Sip | Scheme::Tel | Scheme::Other, named) => named.unwrap_or(self.hop.transport),
        };
        Some((transport, SocketAddr::new(ip, uri.port().unwrap_or(transport.default_port()))))
    }

    /// This stream is gone.
    pub(crate) fn connection_lost(&mut self, hop: Hop) {
        if self.hop == hop {
            self.connection = Connection::Lost;
        }
    }

    /// Our address of record in this dialog, for Referred-By.
    pub(crate) fn local_uri(&self) -> &Uri {
        &self.local.uri
    }

    /// Our Contact in this dialog.
    pub(crate) fn contact(&self) -> &str {
        &self.contact
    }

    /// R-URI and Route: RFC 3261 §12.2.1.1, loose routing or that of RFC 2543.
    fn strict_or_loose(&self) -> (Uri, Vec<NameAddr>) {
        match self.routes.split_first() {
            Some((first, rest)) if first.uri.param("lr").is_none() => {
                let mut routes = rest.to_vec();
                routes.push(NameAddr::new(self.target.clone()));
                (first.uri.clone(), routes)
            }
            Some(_) | None => (self.target.clone(), self.routes.clone()),
        }
    }
}

/// `"Display" <uri>` of our side.
pub(crate) fn address(display: &str, uri: &str) -> Result<NameAddr, UriError> {
    Ok(NameAddr { display: display.to_owned(), ..NameAddr::new(Uri::parse(uri)?) })
}

/// The host by which a peer knows itself whose packets come from elsewhere.
fn behind_nat(via: &Via, hop: Hop) -> Option<String> {
    let elsewhere = crate::uri::ip(&via.host).is_some_and(|ip| ip != hop.remote.ip());
    elsewhere.then(|| via.host.clone())
}

/// Where our requests go: to the Contact, which every INVITE has (RFC 3261 §8.1.1.8). Only a client of RFC 2543, told
/// by its branch, may leave it out: its From serves then (RFC 2543 §6.13).
fn remote_target(headers: &Headers, via: &Via) -> Option<Uri> {
    let address = match headers.first(Name::Contact) {
        None if !is_unique(via.branch()) => headers.from(),
        _ => headers.contact(),
    };
    address.map(|address| address.uri)
}
