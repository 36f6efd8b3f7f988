//! Packets that bear our SSRC (RFC 3550 §8.2): the peer chose the same, or our own come back.
use super::Session;
use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

/// An address that collided is remembered for ten report intervals: what bears our new SSRC too is our own, come back.
const REMEMBERED: Duration = Duration::from_secs(50);

/// A peer's RTP and RTCP may have two; one more for where it moves to. Of more, the oldest is forgotten.
const ADDRESSES: usize = 4;

/// Where collisions came from, and until when that is remembered. By address alone: RTP and RTCP have two ports.
#[derive(Clone, Debug, Default)]
pub(super) struct Collisions(Vec<(IpAddr, Instant)>);

impl Collisions {
    /// Whether the address is new.
    fn note(&mut self, address: IpAddr, now: Instant) -> bool {
        let Self(addresses) = self;
        addresses.retain(|(_, until)| now < *until);
        let before = addresses.len();
        addresses.retain(|(other, _)| *other != address);
        let is_new = addresses.len() == before;
        if addresses.len() >= ADDRESSES {
            addresses.remove(0);
        }
        addresses.push((address, now + REMEMBERED));
        is_new
    }
}

impl Session {
    /// Whether a packet with this SSRC is the peer's. One that bears ours is, and makes us take another, with BYE for the
    /// one before; unless its address made us do so lately.
    pub(super) fn is_not_ours(&mut self, ssrc: u32, from: SocketAddr, now: Instant) -> bool {
        if ssrc != self.downlink.sender.ssrc() {
            return true;
        }
        if !self.collisions.note(from.ip(), now) {
            self.stats.foreign += 1;
            return false;
        }
        self.change_ssrc("SSRC collision", now);
        true
    }

    /// Our packets bear another SSRC from here on, with BYE for the one before, and with the end of what it was pressing.
    pub(super) fn change_ssrc(&mut self, reason: &str, now: Instant) {
        self.end_events();
        self.take_leave(reason, now);
        self.downlink.sender.renew();
        self.reports.renew(self.downlink.sender.ssrc());
        self.meters.renewed();
        if let Some(protection) = &mut self.protection {
            protection.renew_source();
        }
    }
}
