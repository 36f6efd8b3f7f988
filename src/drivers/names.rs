//! Answers what the endpoint asks while calls are up: where the servers are that a dialog names.
use super::{dns::Dns, seed, sip_socket::Request};
use sip::{
    Transport,
    locate::{Located, SHORTEST},
    uri::Uri,
};
use std::sync::Arc;
use tokio::sync::mpsc;
use tracing::debug;

/// Whoever is asked. It does not keep the SIP task alive.
#[derive(Debug)]
pub struct Names {
    dns: Arc<Dns>,
    requests: mpsc::WeakSender<Request>,
    /// One for all lookups: the same records are the same order, and calls of one proxy meet at the same server.
    seed: u64,
}

impl Names {
    /// Answers by this resolver, to this SIP task.
    pub fn new(dns: Arc<Dns>, requests: &mpsc::Sender<Request>) -> Self {
        Self { dns, requests: requests.downgrade(), seed: seed() }
    }

    /// Looks the server up, beside everything else. As many run as the endpoint asks for, which has its bound.
    pub fn look_up(&self, server: Uri) {
        let (dns, requests, seed) = (Arc::clone(&self.dns), self.requests.clone(), self.seed);
        tokio::spawn(async move {
            let located = dns.locate(&server, seed).await.unwrap_or_else(|error| {
                debug!(%server, %error, "A name within a dialog");
                Located { targets: Vec::new(), valid: SHORTEST }
            });
            let Some(requests) = requests.upgrade() else { return };
            // A SIP task that is gone has no more requests to send.
            for target in located.targets.iter().filter(|target| target.transport == Transport::Tls) {
                let _ = requests.send(Request::Name(target.remote, target.name.clone())).await;
            }
            let _ = requests.send(Request::Located(server, located)).await;
        });
    }
}
