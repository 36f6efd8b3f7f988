//! How the call sounds to either side, measured while it lasts.
use std::{net::SocketAddr, time::Duration};

use crate::{
    codec::Codec,
    quality::{self, Loss, Score, Sound},
    rtcp::Reception,
    rtp,
    sdp::Negotiated,
    srtp::Suite,
};

/// What a phone's own jitter buffer holds, when nobody tells: two packets.
const PHONE_BUFFER_PACKETS: u32 = 2;
/// Fewer packets than these are no sample of an interval: a second of 20 ms.
const SAMPLE: u64 = 50;
/// Steps of the histogram of jitter: up to this many milliseconds, the last one for all above.
const STEPS: usize = 128;

/// One of the two ways of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Way {
    /// From the caller to us.
    Uplink,
    /// From us to the caller.
    Downlink,
}

/// How packets were spread in time (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Jitter {
    /// The last measurement.
    pub last: Duration,
    /// 95 of 100 measurements were no worse, to the millisecond above.
    pub p95: Duration,
    /// The worst.
    pub max: Duration,
}

/// One way of a call, so far.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WayQuality {
    /// Packets: expected, lost or late, and how they were lost. The runs of the downlink are not known.
    pub loss: Loss,
    /// As the receiving side measured it.
    pub jitter: Jitter,
    /// Of the whole call; `None` while no packet was to come: nobody has an opinion of what was not heard.
    pub score: Option<Score>,
    /// The worst opinion of an interval between two reports, of some five seconds.
    pub mos_min: Option<f64>,
}

/// How the call sounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quality {
    /// The codec of what we send, and of what was agreed on.
    pub codec: Codec,
    /// What packets are protected with both ways; `None` for plain RTP.
    pub crypto: Option<Suite>,
    /// Where the caller's packets come from, and ours go.
    pub remote: SocketAddr,
    /// The last and the longest round trip, once measured.
    pub round_trip: Option<(Duration, Duration)>,
    /// What we received.
    pub uplink: WayQuality,
    /// What the peer says it received; `None` if it says nothing.
    pub downlink: Option<WayQuality>,
}

/// A way that sounds bad.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Poor {
    /// Which.
    pub way: Way,
    /// Loss of the interval.
    pub loss: Loss,
    /// Jitter at its end.
    pub jitter: Duration,
    /// The last round trip.
    pub round_trip: Option<Duration>,
    /// The opinion of a conversation like this interval.
    pub mos: f64,
}

/// Measurements of one way.
#[derive(Debug)]
struct Meter {
    loss: Loss,
    /// `loss` at the last report.
    before: Loss,
    jitter: Histogram,
    mos_min: f64,
    poor: Option<Poor>,
}

impl Meter {
    fn new() -> Self {
        let (loss, before, jitter) = (Loss::default(), Loss::default(), Histogram::default());
        Self { loss, before, jitter, mos_min: f64::INFINITY, poor: None }
    }
}

/// Both ways of a call.
#[derive(Debug)]
pub(super) struct Meters {
    up: Meter,
    /// `None` until the peer reports.
    down: Option<Meter>,
    /// Of the peer's last report.
    reception: Option<Reception>,
    /// Expected by the peer of streams of ours before this one.
    before: u64,
    round_trip: Option<(Duration, Duration)>,
    /// Opinions below are told.
    poor_below: f64,
}

impl Meters {
    pub(super) fn new(poor_below: f64) -> Self {
        Self { up: Meter::new(), down: None, reception: None, before: 0, round_trip: None, poor_below }
    }

    /// What we send counts anew, under another SSRC.
    pub(super) fn renewed(&mut self) {
        self.reception = None;
        self.before = self.down.as_ref().map_or(0, |down| down.loss.expected);
    }

    /// A packet of the caller is used.
    pub(super) fn arrived(&mut self) {
        self.up.loss.arrived();
    }

    /// So many in a row are not.
    pub(super) fn missed(&mut self, packets: u64) {
        self.up.loss.missed(packets);
    }

    /// The jitter after a packet of the caller.
    pub(super) fn shook(&mut self, jitter: Duration) {
        self.up.jitter.add(jitter);
    }

    /// A report of ours is due: an interval ends. The caller sends in this codec. Says whether the uplink sounds bad, once.
    pub(super) fn reported(&mut self, media: &Negotiated, codec: Codec) -> Option<Poor> {
        let delay = up_delay(media, self.round_trip);
        self.up.judge(Way::Uplink, codec.into(), delay, (self.round_trip, self.poor_below))
    }

    /// The peer reported of the stream we sent. Says whether the downlink sounds bad, once.
    pub(super) fn told(
        &mut self,
        reception: Reception,
        sent: &rtp::Sender,
        round_trip: Option<Duration>,
        media: &Negotiated,
    ) -> Option<Poor> {
        if let Some(last) = round_trip {
            let longest = self.round_trip.map_or(last, |(_, longest)| longest.max(last));
            self.round_trip = Some((last, longest));
        }
        let ticks = u64::from(reception.jitter) * 1_000_000;
        let jitter = Duration::from_micros(ticks / u64::from(media.codec.clock_rate().max(1)));
        let down = self.down.get_or_insert_with(Meter::new);
        let before = self.reception.replace(reception);
        // Negative when the peer counts anew.
        let expected = match before {
            Some(before) => reception.highest.wrapping_sub(before.highest) as i32,
            // Since our first packet; what the peer counts cycles from is its own affair.
            None => (reception.highest as u16).wrapping_sub(sent.first_sequence()).wrapping_add(1).into(),
        };
        // Nobody can expect more than was sent.
        let unheard = u64::from(sent.packets()).saturating_sub(down.loss.expected.saturating_sub(self.before));
        let expected = u64::try_from(expected).unwrap_or(0).min(unheard);
        let lost = i64::from(reception.lost) - before.map_or(0, |before| i64::from(before.lost));
        down.loss.expected += expected;
        down.loss.lost += u64::try_from(lost).unwrap_or(0).min(expected);
        down.jitter.add(jitter);
        let delay = down_delay(media, self.round_trip, jitter);
        down.judge(Way::Downlink, ours(media), delay, (self.round_trip, self.poor_below))
    }

    /// The caller sends in the codec `theirs`, from `remote`.
    pub(super) fn quality(&self, media: &Negotiated, theirs: Codec, remote: SocketAddr) -> Quality {
        let up = self.up.quality(theirs.into(), up_delay(media, self.round_trip));
        let down = self.down.as_ref().map(|down| {
            let delay = down_delay(media, self.round_trip, down.jitter.last);
            down.quality(ours(media), delay)
        });
        let crypto = media.srtp.as_ref().map(|keys| keys.sent.suite());
        Quality { codec: media.codec, crypto, remote, round_trip: self.round_trip, uplink: up, downlink: down }
    }
}

impl Meter {
    /// Ends an interval.
    fn judge(
        &mut self,
        way: Way,
        sound: Sound,
        delay: Duration,
        (round_trip, poor_below): (Option<(Duration, Duration)>, f64),
    ) -> Option<Poor> {
        let loss = self.loss.since(&self.before);
        if loss.expected < SAMPLE {
            return None;
        }
        self.before = self.loss;
        let mos = quality::score(sound, &loss, delay).mos_cq;
        self.mos_min = self.mos_min.min(mos);
        if mos >= poor_below || self.poor.is_some() {
            return None;
        }
        let round_trip = round_trip.map(|(last, _)| last);
        self.poor = Some(Poor { way, loss, jitter: self.jitter.last, round_trip, mos });
        self.poor
    }

    fn quality(&self, sound: Sound, delay: Duration) -> WayQuality {
        let score = (self.loss.expected > 0).then(|| quality::score(sound, &self.loss, delay));
        let mos_min = score.map(|score| self.mos_min.min(score.mos_cq));
        WayQuality { loss: self.loss, jitter: self.jitter.jitter(), score, mos_min }
    }
}

/// What we send, as the peer plays it.
fn ours(media: &Negotiated) -> Sound {
    Sound::from(media.codec).played_by(media.opus)
}

/// From the caller's mouth to the provider's door: half the way there and back, and the packet. A gap waits longer, but
/// nothing else does.
fn up_delay(media: &Negotiated, round_trip: Option<(Duration, Duration)>) -> Duration {
    half(round_trip) + media.ptime
}

/// From us to the caller's ear: half the way, the packet, and a buffer that copes with this jitter.
fn down_delay(media: &Negotiated, round_trip: Option<(Duration, Duration)>, jitter: Duration) -> Duration {
    half(round_trip) + media.ptime + (media.ptime * PHONE_BUFFER_PACKETS).max(2 * jitter)
}

fn half(round_trip: Option<(Duration, Duration)>) -> Duration {
    round_trip.map_or(Duration::ZERO, |(last, _)| last / 2)
}

/// Measurements by millisecond.
#[derive(Debug)]
struct Histogram {
    steps: [u32; STEPS],
    count: u64,
    last: Duration,
    max: Duration,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { steps: [0; STEPS], count: 0, last: Duration::ZERO, max: Duration::ZERO }
    }
}

impl Histogram {
    fn add(&mut self, jitter: Duration) {
        let step = usize::try_from(jitter.as_millis()).unwrap_or(STEPS).min(STEPS - 1);
        if let Some(count) = self.steps.get_mut(step) {
            *count = count.saturating_add(1);
        }
        self.count += 1;
        self.last = jitter;
        self.max = self.max.max(jitter);
    }

    fn jitter(&self) -> Jitter {
        let wanted = (self.count * 95).div_ceil(100).max(1);
        let mut seen = 0;
        let step = self.steps.iter().position(|count| {
            seen += u64::from(*count);
            seen >= wanted
        });
        let p95 = step.filter(|step| step + 1 < STEPS).map(|step| Duration::from_millis(step as u64 + 1));
        Jitter { last: self.last, p95: p95.unwrap_or(self.max).min(self.max), max: self.max }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_95th_percentile_is_the_step_above_and_never_beyond_the_worst() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.jitter(), Jitter::default());
        for n in 0..100 {
            histogram.add(Duration::from_micros(n * 100));
        }
        let ms = Duration::from_millis;
        assert_eq!(
            histogram.jitter(),
            Jitter { last: ms(10) - ms(1) / 10, p95: ms(10) - ms(1) / 10, max: ms(10) - ms(1) / 10 }
        );
        (0..10_000).for_each(|_| histogram.add(ms(2)));
        histogram.add(Duration::from_secs(3));
        assert_eq!(
            histogram.jitter(),
            Jitter { last: Duration::from_secs(3), p95: ms(3), max: Duration::from_secs(3) }
        );
    }
}
