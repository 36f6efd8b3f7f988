//! The caller's lane: where each piece belongs on the clock of what we send.
//!
//! The RTP timestamp says how pieces lie to each other, the arrival of the least delayed packet how they lie to our
//! clock. A clock that drifts shows as an arrival that moves: the lane follows by stretching or squeezing pieces a little.
use super::lane::{Converter, Lane, stretch};
use crate::{audio::SampleRate, resample};
use std::time::Duration;

/// How far a piece may lie from its place before the lane follows.
const TOLERANCE: Duration = Duration::from_millis(1);
/// A piece is made longer or shorter by at most one in so many samples: one semitone is one in 17.
const SOFTNESS: usize = 20;
/// A gap in the timestamps that is longer, and was not concealed, is filled with silence; a shorter one is stretched over.
const SHORTEST_GAP: Duration = Duration::from_millis(10);
/// How far a stream without a pause may lie behind its place before silence brings it there.
const LARGEST_LAG: Duration = Duration::from_millis(500);
/// How far the lane may lie ahead of its place; more is dropped.
const LARGEST_LEAD: Duration = JUMP;
/// Arrivals are compared over one to two such times: 200 ppm are 1 ms in 5 s.
const WINDOW: Duration = Duration::from_secs(2);
/// Arrival and timestamps that part by more belong to another stream, which begins where it arrives. Not less than a
/// block waits for: what a stall delivers late is still the same stream.
const JUMP: Duration = Duration::from_millis(500);

/// A piece that comes later than this after it was spoken is taken for one that was spoken when it came.
pub(super) const LATEST: Duration = Duration::from_secs(5);

/// The RTP time of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Of its first sample.
    pub timestamp: u32,
    /// Ticks per second.
    pub clock: u32,
}

/// The lane.
#[derive(Debug)]
pub(super) struct Caller {
    rate: SampleRate,
    lane: Lane,
    converter: Converter,
    stream: Option<Stream>,
    displaced: u64,
}

/// A run of timestamps, and how late its packets are.
#[derive(Debug)]
struct Stream {
    last: Stamp,
    /// Ticks of the last packet since the first.
    ticks: i64,
    /// The timestamp that follows it.
    next: u32,
    /// Least lateness in the window before and in this one, in frames.
    before: i64,
    least: i64,
    /// Arrival of the first packet of this window.
    since: i64,
    /// Where its first packet belongs if it is not another stream, but this one after a stall; for a window, until all
    /// that the stall held back has come.
    origin: Option<i64>,
}

impl Caller {
    pub(super) fn new(rate: SampleRate) -> Self {
        Self { rate, lane: Lane::default(), converter: Converter::none(rate), stream: None, displaced: 0 }
    }

    /// Takes a piece that arrived when the recording had `arrived` frames. One that was spoken at a time that is `hidden` is
    /// silence, wherever it comes to lie: a stall may bring it when that time is over.
    pub(super) fn hear(
        &mut self,
        (rate, samples): (SampleRate, &[i16]),
        stamp: Option<Stamp>,
        arrived: i64,
        hidden: impl Fn(u64) -> bool,
    ) -> Result<(), resample::Error> {
        if rate != self.converter.from() {
            let rest = self.converter.change(rate)?;
            self.lane.push(&rest);
        }
        let Some(stamp) = stamp else {
            // Silence made up for a phone that sends none needs no samples: the lane has it wherever nothing is.
            if samples.iter().any(|sample| *sample != 0) {
                let converted = self.converter.push(samples);
                self.lane.push(&converted);
            }
            return Ok(());
        };
        let silence;
        let samples = match self.spoken(stamp, arrived).is_some_and(hidden) {
            true => {
                silence = vec![0; samples.len()];
                silence.as_slice()
            }
            false => samples,
        };
        let (place, adjacent) = self.place(stamp, samples.len(), rate, arrived);
        let head = i64::try_from(self.lane.end() + self.converter.owed()).unwrap_or(i64::MAX);
        let off = place.saturating_sub(head);
        let largest = if adjacent { LARGEST_LAG } else { SHORTEST_GAP };
        if off < -self.frames(LARGEST_LEAD) {
            self.displaced += (samples.len() as u64) * u64::from(self.rate.hz()) / u64::from(rate.hz());
        } else if off > self.frames(largest) {
            self.flush();
            self.lane.pad_to(u64::try_from(place).unwrap_or_default());
            self.append(samples, 0);
        } else {
            self.append(samples, off);
        }
        Ok(())
    }

    /// What still is on its way comes out.
    pub(super) fn flush(&mut self) {
        let rest = self.converter.flush();
        self.lane.push(&rest);
    }

    pub(super) fn take_to(&mut self, end: u64) -> Vec<i16> {
        if self.lane.end() < end {
            self.flush(); // silence follows, and the tail of what was said belongs before it
        }
        self.lane.take_to(end)
    }

    pub(super) fn displaced(&self) -> Duration {
        self.rate.duration_of(usize::try_from(self.displaced).unwrap_or(usize::MAX))
    }

    /// Appends a piece that should begin `off` frames from the end of the lane.
    fn append(&mut self, samples: &[i16], off: i64) {
        let converted = self.converter.push(samples);
        if off.abs() <= self.frames(TOLERANCE) {
            return self.lane.push(&converted);
        }
        let most = i64::try_from(converted.len() / SOFTNESS).unwrap_or_default();
        let change = isize::try_from(off.clamp(-most, most)).unwrap_or_default();
        self.lane.push(&stretch(&converted, converted.len().saturating_add_signed(change)));
    }

    /// When a packet was spoken, however late it came; `None` where nothing is known of that. A phone whose timestamps stood
    /// still while it sent nothing is taken for one that is late.
    fn spoken(&self, stamp: Stamp, arrived: i64) -> Option<u64> {
        let stream = self.stream.as_ref().filter(|stream| stream.last.clock == stamp.clock)?;
        let ahead = stamp.timestamp.wrapping_sub(stream.last.timestamp) as i32;
        let position = (stream.ticks + i64::from(ahead)) * i64::from(self.rate.hz()) / i64::from(stamp.clock.max(1));
        let least = stream.least.min(stream.before);
        let place = position.saturating_add(stream.origin.map_or(least, |origin| origin.min(least)));
        let late = (0..=self.frames(LATEST)).contains(&arrived.saturating_sub(place));
        u64::try_from(place).ok().filter(|_| late)
    }

    /// Where a packet belongs, and whether it follows the one before without a pause.
    fn place(&mut self, stamp: Stamp, samples: usize, rate: SampleRate, arrived: i64) -> (i64, bool) {
        let (hz, window, jump) = (i64::from(self.rate.hz()), self.frames(WINDOW), self.frames(JUMP));
        let length = samples as u64 * u64::from(stamp.clock) / u64::from(rate.hz());
        let next = stamp.timestamp.wrapping_add(length as u32);
        let origin = self.spoken(stamp, arrived).and_then(|spoken| i64::try_from(spoken).ok());
        let fresh = Stream { last: stamp, ticks: 0, next, before: arrived, least: arrived, since: arrived, origin };
        let Some(stream) = self.stream.as_mut().filter(|stream| stream.last.clock == stamp.clock) else {
            self.stream = Some(fresh);
            return (arrived, false);
        };
        let adjacent = stream.next == stamp.timestamp;
        let ahead = stamp.timestamp.wrapping_sub(stream.last.timestamp) as i32;
        let ticks = stream.ticks + i64::from(ahead);
        let position = ticks * hz / i64::from(stamp.clock.max(1));
        let late = arrived.saturating_sub(position);
        if late.abs_diff(stream.least.min(stream.before)) > jump.unsigned_abs() {
            *stream = fresh;
            return (arrived, false);
        }
        if arrived.saturating_sub(stream.since) > window {
            (stream.before, stream.least, stream.since) = (stream.least, late, arrived);
            stream.origin = None;
        }
        stream.least = stream.least.min(late);
        (stream.last, stream.ticks, stream.next) = (stamp, ticks, next);
        (position + stream.least.min(stream.before), adjacent)
    }

    fn frames(&self, duration: Duration) -> i64 {
        i64::try_from(self.rate.samples_in(duration)).unwrap_or(i64::MAX)
    }
}
