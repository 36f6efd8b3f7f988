//! Packets that bear our SSRC (RFC 3550 §8.2): the peer chose the same, or our own come back.
use super::Session;
use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

/// An address that collided is remembered for ten report intervals: what bears our new SSRC too is our own, come back.
const REMEMBERED: Duration = Duration::from_secs(50);

/// Where the last collision came from, and until when that is remembered. By address alone: a peer's RTP and RTCP have
/// two ports.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Collision(Option<(IpAddr, Instant)>);

impl Session {
    /// Whether a packet with this SSRC is the peer's. One that bears ours is, and makes us take another, with BYE for the
    /// one before; unless its address made us do so lately.
    pub(super) fn is_not_ours(&mut self, ssrc: u32, from: SocketAddr, now: Instant) -> bool {
        if ssrc != self.downlink.sender.ssrc() {
            return true;
        }
        let Collision(last) = self.collision;
        self.collision = Collision(Some((from.ip(), now + REMEMBERED)));
        if last.is_some_and(|(ip, until)| ip == from.ip() && now < until) {
            self.stats.foreign += 1;
            return false;
        }
        self.take_leave("SSRC collision", now);
        self.downlink.sender.renew();
        self.reports.renew(self.downlink.sender.ssrc());
        self.meters.renewed();
        if let Some(protection) = &mut self.protection {
            protection.renew_source();
        }
        true
    }
}
