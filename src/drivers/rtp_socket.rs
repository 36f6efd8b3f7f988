//! RTP and RTCP sockets: an even port and the next one (RFC 3550 §11).
use super::seed;
use crate::ports::{Pool, Standing};
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    io,
    net::{IpAddr, SocketAddr, UdpSocket},
    ops::RangeInclusive,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

/// DSCP 46, expedited forwarding (RFC 3246), in the upper six bits of the TOS octet, or of IPv6's traffic class.
const TOS_EXPEDITED: u32 = 46 << 2;

/// Hands out pairs of ports of one address. The lock is held for a look at a list: once for a call, and once at its end.
#[derive(Clone, Debug)]
pub struct Ports {
    address: IpAddr,
    pool: Arc<Mutex<Pool>>,
}

/// The two sockets of one call, not blocking.
#[derive(Debug)]
pub struct Pair {
    /// Even port.
    pub rtp: UdpSocket,
    /// The next port.
    pub rtcp: UdpSocket,
    /// Address of `rtp`.
    pub local: SocketAddr,
    /// Dropped last, when the sockets are closed.
    pub lease: Lease,
}

/// A pair of ports that is taken, until this is dropped.
#[derive(Debug)]
pub struct Lease {
    port: u16,
    ports: Ports,
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.ports.pool().give_back(self.port, Instant::now());
    }
}

impl Pair {
    /// RTP and RTCP for this runtime, ready to send: `try_send_to` refuses everything until the reactor has seen the
    /// socket writable, which it is at once.
    ///
    /// # Errors
    /// The reactor does not take them.
    pub async fn into_async(self) -> io::Result<(tokio::net::UdpSocket, tokio::net::UdpSocket, Lease)> {
        let rtp = tokio::net::UdpSocket::from_std(self.rtp)?;
        let rtcp = tokio::net::UdpSocket::from_std(self.rtcp)?;
        rtp.writable().await?;
        rtcp.writable().await?;
        Ok((rtp, rtcp, self.lease))
    }
}

impl Ports {
    /// Ports of this address and range; an odd first port is skipped.
    pub fn new(address: IpAddr, range: RangeInclusive<u16>) -> Self {
        Self { address, pool: Arc::new(Mutex::new(Pool::new(range))) }
    }

    /// Whether a peer of this family can be reached from here.
    pub const fn reach(&self, peer: IpAddr) -> bool {
        self.address.is_ipv4() == peer.is_ipv4()
    }

    /// How many pairs are free, and how often none was.
    pub fn standing(&self) -> Standing {
        self.pool().standing()
    }

    /// Binds a free pair.
    ///
    /// # Errors
    /// Every port of the range is taken, or the address is not ours.
    pub fn bind(&self) -> io::Result<Pair> {
        let pairs = self.pool().pairs();
        let none = format!("every pair of RTP ports of {} is taken, {pairs} of them", self.address);
        let mut last = io::Error::new(io::ErrorKind::AddrInUse, none);
        for _ in 0..pairs {
            let Some(port) = self.pool().take(seed(), Instant::now()) else { break };
            let lease = Lease { port, ports: self.clone() };
            match self.bind_at(lease) {
                Ok(pair) => return Ok(pair),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => last = error,
                // No other pair would fare better.
                Err(error) => {
                    last = error;
                    break;
                }
            }
        }
        self.pool().refuse();
        Err(last)
    }

    fn bind_at(&self, lease: Lease) -> io::Result<Pair> {
        let local = SocketAddr::new(self.address, lease.port);
        let rtp = bind(local)?;
        let rtcp = bind(SocketAddr::new(self.address, lease.port.saturating_add(1)))?;
        Ok(Pair { rtp, rtcp, local, lease })
    }

    /// A list is whole after a panic, too.
    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn bind(at: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(at), Type::DGRAM, Some(Protocol::UDP))?;
    // A router's courtesy: without it the call still works.
    let _ = match at {
        SocketAddr::V4(_) => socket.set_tos_v4(TOS_EXPEDITED),
        SocketAddr::V6(_) => socket.set_tclass_v6(TOS_EXPEDITED),
    };
    socket.set_nonblocking(true)?;
    socket.bind(&at.into())?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use socket2::SockRef;
    use std::net::{Ipv4Addr, Ipv6Addr};

    #[test]
    fn packets_of_both_families_ask_for_expedited_forwarding() {
        let bound = |address: IpAddr| bind(SocketAddr::new(address, 0));
        let socket = bound(Ipv4Addr::LOCALHOST.into()).unwrap();
        assert_eq!(SockRef::from(&socket).tos_v4().unwrap(), TOS_EXPEDITED);
        // Not every machine has IPv6.
        if let Ok(socket) = bound(Ipv6Addr::LOCALHOST.into()) {
            assert_eq!(SockRef::from(&socket).tclass_v6().unwrap(), TOS_EXPEDITED);
        }
    }

    #[test]
    fn pairs_are_even_and_never_shared() {
        let mut free = testkit::ports::Ports::take().unwrap();
        let (first, last) = free.run(8).unwrap();
        let ports = Ports::new(IpAddr::V4(Ipv4Addr::LOCALHOST), first + 1..=last);
        let pairs: Vec<Pair> = (0..3).filter_map(|_| ports.bind().ok()).collect();
        assert_eq!(pairs.len(), 3);
        assert!(pairs.iter().all(|pair| pair.local.port() % 2 == 0));
        assert!(ports.bind().is_err(), "all three pairs of the range are taken");
        drop(pairs);
        assert!(ports.bind().is_ok(), "a call that ended leaves its pair");
        assert_eq!(ports.standing(), Standing { pairs: 3, free: 3, refused: 1 });
    }
}
