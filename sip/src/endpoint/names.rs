//! Names within dialogs: where a Contact or a Record-Route names a host, RFC 3263 finds its servers as it does for a
//! request outside. The owner is asked by [`Event::Locate`](crate::Event::Locate) when a name is first seen, which is
//! mostly long before the first request goes there.
use crate::{
    locate::{Located, Target},
    uri::{Scheme, Uri},
};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// Names kept at one time. Those beyond it are not asked for, and the peers' messages say where their requests go.
const NAMES: usize = 1_024;
/// How long an answer is waited for until it may be asked for again; the owner has less for all lookups of a location.
const ANSWER: Duration = Duration::from_secs(6);

/// Names that were seen, and what is known of them.
#[derive(Debug, Default)]
pub(crate) struct Names(BTreeMap<String, Name>);

#[derive(Debug)]
struct Name {
    state: State,
    targets: Vec<Target>,
    /// Then it may be asked for again.
    until: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Asked,
    Answered,
}

impl Names {
    /// A request may go to the server of this URI; `Some` is to be asked of the owner. An answer that has aged still
    /// counts while its successor is on its way.
    pub(crate) fn want(&mut self, uri: &Uri, now: Instant) -> Option<Uri> {
        let server = server(uri)?;
        let room = self.0.len() < NAMES;
        match self.0.get_mut(server.as_str()) {
            Some(name) if name.until > now => return None,
            Some(name) => name.until = now + ANSWER,
            None => {
                if !room {
                    self.0.retain(|_, name| name.until > now);
                }
                if self.0.len() >= NAMES {
                    return None;
                }
                let name = Name { state: State::Asked, targets: Vec::new(), until: now + ANSWER };
                self.0.insert(server.as_str().to_owned(), name);
            }
        }
        Some(server)
    }

    /// What came of a question.
    pub(crate) fn learn(&mut self, server: &Uri, located: Located, now: Instant) {
        if let Some(name) = self.0.get_mut(server.as_str()) {
            *name = Name { state: State::Answered, targets: located.targets, until: now + located.valid };
        }
    }

    /// The servers of this URI, the one to try first in front; none if DNS knows none, or has not said.
    pub(crate) fn targets(&self, uri: &Uri) -> &[Target] {
        let name = server(uri).and_then(|server| self.0.get(server.as_str()));
        name.map(|name| name.targets.as_slice()).unwrap_or_default()
    }

    /// Whether the first answer is still to come.
    pub(crate) fn is_awaited(&self, uri: &Uri) -> bool {
        let name = server(uri).and_then(|server| self.0.get(server.as_str()));
        name.is_some_and(|name| name.state == State::Asked)
    }
}

/// What of a URI says where it leads, if it names a host: scheme, host, port and transport.
fn server(uri: &Uri) -> Option<Uri> {
    let scheme = match uri.scheme() {
        Scheme::Sip => "sip",
        Scheme::Sips => "sips",
        Scheme::Tel | Scheme::Other => return None,
    };
    if uri.host_ip().is_some() {
        return None;
    }
    let port = uri.port().map(|port| format!(":{port}")).unwrap_or_default();
    let server = Uri::parse(&format!("{scheme}:{}{port}", uri.host().to_ascii_lowercase())).ok()?;
    match uri.param("transport") {
        Some(transport) => server.with_param("transport", &transport.to_ascii_lowercase()).ok(),
        None => Some(server),
    }
}
