//! RTP and RTCP sockets: an even port and the next one (RFC 3550 §11).
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    io,
    net::{IpAddr, SocketAddr, UdpSocket},
    ops::RangeInclusive,
    sync::atomic::{AtomicU32, Ordering},
};

/// DSCP 46, expedited forwarding (RFC 3246), in the upper six bits of the TOS octet.
const TOS_EXPEDITED: u32 = 46 << 2;

/// Hands out pairs of ports, round robin, so that a port rests before it is used again.
#[derive(Debug)]
pub struct Ports {
    address: IpAddr,
    first: u16,
    pairs: u32,
    next: AtomicU32,
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
}

impl Pair {
    /// RTP and RTCP for this runtime, ready to send: `try_send_to` refuses everything until the reactor has seen the
    /// socket writable, which it is at once.
    ///
    /// # Errors
    /// The reactor does not take them.
    pub async fn into_async(self) -> io::Result<(tokio::net::UdpSocket, tokio::net::UdpSocket)> {
        let rtp = tokio::net::UdpSocket::from_std(self.rtp)?;
        let rtcp = tokio::net::UdpSocket::from_std(self.rtcp)?;
        rtp.writable().await?;
        rtcp.writable().await?;
        Ok((rtp, rtcp))
    }
}

impl Ports {
    /// Ports of this address and range; an odd first port is skipped.
    pub fn new(address: IpAddr, range: RangeInclusive<u16>) -> Self {
        let first = range.start().saturating_add(range.start() % 2);
        let pairs = u32::from(range.end().saturating_sub(first).saturating_add(1)) / 2;
        Self { address, first, pairs, next: AtomicU32::new(0) }
    }

    /// Whether a peer of this family can be reached from here.
    pub const fn reach(&self, peer: IpAddr) -> bool {
        self.address.is_ipv4() == peer.is_ipv4()
    }

    /// Binds the next free pair.
    ///
    /// # Errors
    /// Every port of the range is taken, or the address is not ours.
    pub fn bind(&self) -> io::Result<Pair> {
        let mut last = io::Error::new(io::ErrorKind::AddrInUse, "the RTP port range is empty");
        for _ in 0..self.pairs {
            let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.pairs;
            let port = self.first.saturating_add(u16::try_from(turn * 2).unwrap_or(u16::MAX));
            match self.bind_at(port) {
                Ok(pair) => return Ok(pair),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn bind_at(&self, port: u16) -> io::Result<Pair> {
        let local = SocketAddr::new(self.address, port);
        let rtp = bind(local)?;
        let rtcp = bind(SocketAddr::new(self.address, port.saturating_add(1)))?;
        Ok(Pair { rtp, rtcp, local })
    }
}

fn bind(at: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(at), Type::DGRAM, Some(Protocol::UDP))?;
    if at.is_ipv4() {
        // A router's courtesy: without it the call still works.
        let _ = socket.set_tos_v4(TOS_EXPEDITED);
    }
    socket.set_nonblocking(true)?;
    socket.bind(&at.into())?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn pairs_are_even_and_never_shared() {
        let ports = Ports::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 39_201..=39_208);
        let pairs: Vec<Pair> = (0..3).filter_map(|_| ports.bind().ok()).collect();
        assert_eq!(pairs.len(), 3);
        assert!(pairs.iter().all(|pair| pair.local.port() % 2 == 0));
        assert!(ports.bind().is_err(), "all three pairs of the range are taken");
    }
}
