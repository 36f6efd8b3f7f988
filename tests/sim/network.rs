//! An IP network on a virtual clock: datagrams are late, out of order, doubled, held up together, or never come.
//!
//! The same seed and the same sends give the same network. It knows addresses and bytes, nothing of what they mean.
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

/// How one kind of traffic fares.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Path {
    /// The least time on the way.
    pub(crate) latency: Duration,
    /// At most this much more, another for each datagram: above the packet time, packets overtake each other.
    pub(crate) jitter: Duration,
    /// Datagrams of a thousand that never come.
    pub(crate) lost: u64,
    /// Datagrams of a thousand that come twice.
    pub(crate) doubled: u64,
    /// Once in every period of the first length nothing comes for the second, and then all of it at once.
    pub(crate) stalls: Option<(Duration, Duration)>,
}

impl Path {
    /// Nothing but this much latency.
    pub(crate) fn clean(latency: Duration) -> Self {
        Self { latency, ..Self::default() }
    }
}

/// A datagram that arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Datagram {
    /// Its source, as its receiver sees it.
    pub(crate) from: SocketAddr,
    /// Whom it reached.
    pub(crate) to: SocketAddr,
    /// What it says.
    pub(crate) bytes: Vec<u8>,
}

/// All datagrams on their way.
#[derive(Debug)]
pub(crate) struct Network {
    began: Instant,
    /// By arrival, then in order of sending.
    flying: BTreeMap<(Instant, u64), Datagram>,
    sent: u64,
    random: u64,
    /// Inner address to the one the world sees.
    mappings: BTreeMap<SocketAddr, SocketAddr>,
    /// Outer addresses that led somewhere once.
    stale: Vec<SocketAddr>,
}

impl Network {
    /// An empty network.
    pub(crate) fn new(seed: u64, now: Instant) -> Self {
        let random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        Self { began: now, flying: BTreeMap::new(), sent: 0, random, mappings: BTreeMap::new(), stale: Vec::new() }
    }

    /// From here on the NAT gives this socket another outer address; what is sent to the one before is lost.
    pub(crate) fn rebind(&mut self, inner: SocketAddr, outer: SocketAddr) {
        self.stale.push(self.mappings.insert(inner, outer).unwrap_or(inner));
    }

    /// Sends a datagram on this path.
    pub(crate) fn send(&mut self, path: &Path, datagram: Datagram, now: Instant) {
        let from = self.mappings.get(&datagram.from).copied().unwrap_or(datagram.from);
        let datagram = Datagram { from, ..datagram };
        if self.chance(path.doubled) {
            self.fly(path, datagram.clone(), now);
        }
        if !self.chance(path.lost) {
            self.fly(path, datagram, now);
        }
    }

    /// When the next datagram arrives.
    pub(crate) fn next_arrival(&self) -> Option<Instant> {
        self.flying.first_key_value().map(|((at, _), _)| *at)
    }

    /// A datagram that has arrived by now.
    pub(crate) fn receive(&mut self, now: Instant) -> Option<Datagram> {
        while self.next_arrival().is_some_and(|at| at <= now) {
            let (_, mut datagram) = self.flying.pop_first()?;
            if self.stale.contains(&datagram.to) {
                continue;
            }
            let inner = self.mappings.iter().find(|(_, outer)| **outer == datagram.to).map(|(inner, _)| *inner);
            datagram.to = inner.unwrap_or(datagram.to);
            return Some(datagram);
        }
        None
    }

    fn fly(&mut self, path: &Path, datagram: Datagram, now: Instant) {
        let jitter = Duration::from_micros(self.below(path.jitter.as_micros() as u64 + 1));
        let mut at = now + path.latency + jitter;
        if let Some((period, length)) = path.stalls {
            let into = Duration::from_nanos(((at - self.began).as_nanos() % period.as_nanos()) as u64);
            at += length.saturating_sub(into);
        }
        self.sent += 1;
        self.flying.insert((at, self.sent), datagram);
    }

    fn chance(&mut self, of_a_thousand: u64) -> bool {
        self.below(1_000) < of_a_thousand
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % limit
    }
}

fn numbers(network: &mut Network, path: &Path, count: u16) -> Vec<(Instant, u16)> {
    let (a, b) = ("192.0.2.1:1".parse().unwrap(), "192.0.2.2:2".parse().unwrap());
    let mut now = network.began;
    for number in 0..count {
        network.send(path, Datagram { from: a, to: b, bytes: number.to_be_bytes().to_vec() }, now);
        now += Duration::from_millis(20);
    }
    let mut arrived = Vec::new();
    while let Some(at) = network.next_arrival() {
        arrived.extend(network.receive(at).map(|d| (at, u16::from_be_bytes([d.bytes[0], d.bytes[1]]))));
    }
    arrived
}

#[test]
fn the_network_loses_doubles_delays_and_reorders_as_told_and_repeats_itself() {
    let now = Instant::now();
    let ms = Duration::from_millis;
    let wild = Path { latency: ms(10), jitter: ms(50), lost: 100, doubled: 50, stalls: None };
    let arrived = numbers(&mut Network::new(1, now), &wild, 10_000);
    assert!((9_350..9_650).contains(&arrived.len()), "{} of 10000, 10 % lost, 5 % twice", arrived.len());
    assert!(arrived.windows(2).filter(|pair| pair[1].1 < pair[0].1).count() > 1_000, "packets overtake each other");
    assert_eq!(arrived, numbers(&mut Network::new(1, now), &wild, 10_000), "the same seed");
    assert_ne!(arrived, numbers(&mut Network::new(2, now), &wild, 10_000), "another seed");

    let stalled = Path { stalls: Some((ms(1_000), ms(200))), ..Path::clean(ms(10)) };
    let arrived = numbers(&mut Network::new(1, now), &stalled, 100);
    let at_once = arrived.iter().filter(|(at, _)| *at == now + ms(1_200)).count();
    assert!(at_once >= 10, "{at_once} packets after a stall of 200 ms");
    assert!(arrived.windows(2).all(|pair| pair[1].1 == pair[0].1 + 1), "a stall loses and reorders nothing");
}

#[test]
fn a_new_binding_is_another_source_and_the_old_one_leads_nowhere() {
    let mut now = Instant::now();
    let path = Path::clean(Duration::from_millis(10));
    let [inner, server, outer] = ["10.0.0.2:4000", "192.0.2.1:20000", "10.0.0.2:9999"].map(|a| a.parse().unwrap());
    let mut network = Network::new(1, now);
    let mut arrives = |from, to, rebind: bool| {
        if rebind {
            network.rebind(inner, outer);
        }
        network.send(&path, Datagram { from, to, bytes: vec![1] }, now);
        now += Duration::from_millis(10);
        network.receive(now).map(|datagram| (datagram.from, datagram.to))
    };
    assert_eq!(arrives(inner, server, false), Some((inner, server)));
    assert_eq!(arrives(inner, server, true), Some((outer, server)));
    assert_eq!(arrives(server, inner, false), None);
    assert_eq!(arrives(server, outer, false), Some((server, inner)));
}
