//! When RTCP reports are sent, and where to.
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use crate::{
    latch::Latch,
    rtcp::Control,
    rtp::{self, mix},
    sdp::Negotiated,
};

/// RFC 3550 §6.2: at least five seconds on average, half of that before the first.
const INTERVAL: Duration = Duration::from_secs(5);

/// The RTCP half of a session.
#[derive(Debug)]
pub(super) struct Reports {
    control: Control,
    next: Instant,
    randomness: u64,
    /// Where the peer's reports come from.
    source: Option<SocketAddr>,
}

impl Reports {
    pub(super) fn new(ssrc: u32, local: SocketAddr, seed: u64, now: Instant) -> Self {
        // §6.5.1: user@host; the user part is random (RFC 7022) so that calls on one host differ.
        let cname = format!("{:016x}@{}", mix(seed ^ 0xc4a3), local.ip());
        let mut reports = Self { control: Control::new(ssrc, cname, now), next: now, randomness: seed, source: None };
        reports.schedule(INTERVAL / 2, now);
        reports
    }

    pub(super) fn deadline(&self) -> Instant {
        self.next
    }

    pub(super) fn round_trip(&self) -> Option<Duration> {
        self.control.round_trip()
    }

    pub(super) fn remote_lost(&self) -> u32 {
        self.control.remote_lost()
    }

    /// False if it is not RTCP.
    pub(super) fn handle(&mut self, from: SocketAddr, datagram: &[u8], now: Instant) -> bool {
        let understood = self.control.handle(datagram, now);
        if understood {
            self.source = Some(from);
        }
        understood
    }

    /// The peer proved that it receives reports at this address, and chose it (RFC 8445 §8.1.1).
    pub(super) fn nominate(&mut self, source: SocketAddr) {
        self.source = Some(source);
    }

    pub(super) fn report(
        &mut self,
        sent: &rtp::Sender,
        received: Option<(u32, &mut rtp::Receiver)>,
        now: Instant,
    ) -> Vec<u8> {
        self.schedule(INTERVAL, now);
        self.control.report(sent, received, now)
    }

    pub(super) fn bye(&self, sent: &rtp::Sender, now: Instant) -> Vec<u8> {
        self.control.bye(sent, now)
    }

    /// Where the peer's reports come from; else beside where its RTP does, if that is not where its description says.
    pub(super) fn remote(&self, media: &Negotiated, latch: &Latch) -> SocketAddr {
        let current = |from: &SocketAddr| *from == media.remote_rtcp || from.ip() == latch.remote().ip();
        if let Some(source) = self.source.filter(current) {
            return source;
        }
        match latch.source() {
            Some(source) if source != media.remote => match source.port().checked_add(1) {
                Some(port) => SocketAddr::new(source.ip(), port),
                None => media.remote_rtcp,
            },
            Some(_) | None => media.remote_rtcp,
        }
    }

    /// §6.3.1: between half and one and a half of the interval, so that reports of many calls do not coincide.
    fn schedule(&mut self, interval: Duration, now: Instant) {
        self.randomness = mix(self.randomness);
        let part = (self.randomness >> 32) as u32;
        let jitter = (interval.as_micros() as u64 * u64::from(part)) >> 32;
        self.next = now + interval / 2 + Duration::from_micros(jitter);
    }
}
