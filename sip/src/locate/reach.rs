//! What we have to send by.
use crate::transport::Transport;
use std::net::IpAddr;

/// By what we can send: our listeners, in our order of preference.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach(Vec<(Transport, IpAddr)>);

impl Reach {
    /// Transport and address of each listener, the preferred first.
    pub fn new(listeners: impl IntoIterator<Item = (Transport, IpAddr)>) -> Self {
        Self(listeners.into_iter().collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn has(&self, transport: Transport) -> bool {
        self.0.iter().any(|(ours, _)| *ours == transport)
    }

    /// Each transport once.
    pub(super) fn transports(&self) -> Vec<Transport> {
        let mut each = Vec::new();
        for (transport, _) in &self.0 {
            if !each.contains(transport) {
                each.push(*transport);
            }
        }
        each
    }

    /// Those of `addresses` in a family of ours, the families in turn, that of our first listener first.
    pub(super) fn among(&self, transport: Transport, addresses: &[IpAddr]) -> Vec<IpAddr> {
        let ours = self.0.iter().filter(|(by, _)| *by == transport);
        let mut families: Vec<bool> = Vec::new();
        for (_, listener) in ours {
            if !families.contains(&listener.is_ipv4()) {
                families.push(listener.is_ipv4());
            }
        }
        let of = |v4: bool| addresses.iter().copied().filter(move |address| address.is_ipv4() == v4);
        let mut each: Vec<_> = families.into_iter().map(of).collect();
        let mut mixed = Vec::new();
        loop {
            let round: Vec<IpAddr> = each.iter_mut().filter_map(Iterator::next).collect();
            if round.is_empty() {
                return mixed;
            }
            mixed.extend(round);
        }
    }
}
