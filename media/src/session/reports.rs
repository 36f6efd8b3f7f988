//! When RTCP reports are sent, where to, and whose are believed.
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use crate::{
    latch::Latch,
    rtcp::{Control, Reception},
    rtp::{self, mix},
    sdp::Negotiated,
};

/// RFC 3550 §6.2: at least five seconds on average, half of that before the first. Two parties' reports are far below
/// 5 % of any codec's bandwidth, so this minimum always applies.
const INTERVAL: Duration = Duration::from_secs(5);
/// §6.3.1: what the randomised interval is divided by (e - 3/2).
const COMPENSATION: f64 = 1.218_28;

/// The RTCP half of a session.
#[derive(Debug)]
pub(super) struct Reports {
    control: Control,
    next: Instant,
    randomness: u64,
    source: Source,
    /// When a report of the peer last came.
    heard_at: Option<Instant>,
    /// The peer named no address to send any to.
    withheld: bool,
}

/// Where the peer's reports come from.
#[derive(Clone, Copy, Debug)]
enum Source {
    /// Nothing is known.
    Unknown,
    /// The first that came from where it was signalled to, or from the address its RTP was learnt from: a NAT gives
    /// RTCP a port of its own.
    Learnt(SocketAddr),
    /// That was learnt, and RTP has moved since: it holds until a report comes.
    Former(SocketAddr),
    /// The peer proved that it receives reports there, and chose it (RFC 8445 §8.1.1).
    Nominated(SocketAddr),
}

impl Reports {
    pub(super) fn new(ssrc: u32, local: SocketAddr, seed: u64, (since_1970, now): (Duration, Instant)) -> Self {
        // §6.5.1: user@host; the user part is random (RFC 7022) so that calls on one host differ.
        let cname = format!("{:016x}@{}", mix(seed ^ 0xc4a3), local.ip());
        let control = Control::new(ssrc, cname, since_1970, now);
        let source = Source::Unknown;
        let mut reports = Self { control, next: now, randomness: seed, source, heard_at: None, withheld: false };
        reports.schedule(INTERVAL / 2, now);
        reports
    }

    pub(super) fn deadline(&self) -> Instant {
        self.next
    }

    pub(super) fn round_trip(&self) -> Option<Duration> {
        self.control.round_trip()
    }

    pub(super) fn poll_reception(&mut self) -> Option<Reception> {
        self.control.poll_reception()
    }

    pub(super) fn heard_at(&self) -> Option<Instant> {
        self.heard_at
    }

    /// Whether a report from there can be the peer's. Where RTP comes from where it was signalled to, reports must
    /// too: nobody else on the peer's machine may tell us how it hears us, or have our reports sent elsewhere.
    pub(super) fn believes(&self, from: SocketAddr, media: &Negotiated, latch: &Latch) -> bool {
        let moved = latch.source().filter(|source| *source != media.remote);
        if from == latch.remote() || (!media.rtcp_mux && from == media.remote_rtcp) {
            return true; // the port of RTP is believed with or without a=rtcp-mux: it has the audio already
        }
        match self.source {
            Source::Nominated(source) | Source::Learnt(source) => from == source,
            Source::Former(source) if from == source => true,
            Source::Unknown | Source::Former(_) => {
                !media.rtcp_mux && moved.is_some_and(|source| source.ip() == from.ip())
            }
        }
    }

    /// A datagram that [`Self::believes`] the peer sent. False if it is not RTCP.
    pub(super) fn handle(&mut self, from: SocketAddr, datagram: &[u8], media: &Negotiated, now: Instant) -> bool {
        let understood = self.control.handle(datagram, now);
        if understood {
            self.heard_at = Some(now);
            let open = matches!(self.source, Source::Unknown | Source::Former(_));
            if open && from != media.remote && !media.rtcp_mux {
                self.source = Source::Learnt(from);
            }
        }
        understood
    }

    /// The peer proved that it receives reports at this address, and chose it (RFC 8445 §8.1.1).
    pub(super) fn nominate(&mut self, source: SocketAddr) {
        self.source = Source::Nominated(source);
    }

    /// The peer named its addresses anew: what it chose and what was learnt is void.
    pub(super) fn signal(&mut self) {
        self.source = Source::Unknown;
    }

    /// Whether the peer named nowhere to send reports to.
    pub(super) fn withhold(&mut self, nowhere: bool) {
        self.withheld = nowhere;
    }

    pub(super) fn are_withheld(&self) -> bool {
        self.withheld
    }

    /// RTP comes from elsewhere than before: so may reports.
    pub(super) fn moved(&mut self) {
        if let Source::Learnt(source) = self.source {
            self.source = Source::Former(source);
        }
    }

    pub(super) fn report(
        &mut self,
        sent: &rtp::Sender,
        timestamp: u32,
        received: Option<(u32, &mut rtp::Receiver)>,
        now: Instant,
    ) -> Vec<u8> {
        self.schedule(INTERVAL, now);
        self.control.report(sent, timestamp, received, now)
    }

    pub(super) fn bye(
        &mut self,
        sent: (&rtp::Sender, u32),
        received: Option<(u32, &mut rtp::Receiver)>,
        reason: &str,
        now: Instant,
    ) -> Option<Vec<u8>> {
        self.control.bye(sent, received, reason, now)
    }

    /// Our packets bear this SSRC from here on.
    pub(super) fn renew(&mut self, ssrc: u32) {
        self.control.renew(ssrc);
    }

    /// Where the peer's reports come from; else beside where its RTP does, if that is not where its description says.
    pub(super) fn remote(&self, media: &Negotiated, latch: &Latch) -> SocketAddr {
        if let Source::Nominated(source) | Source::Learnt(source) | Source::Former(source) = self.source {
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
        self.next = now + (interval / 2 + Duration::from_micros(jitter)).div_f64(COMPENSATION);
    }
}
