//! From packets in order to the audio a provider is fed with: continuous, in its format, with gaps concealed.
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::{
    background::Background,
    level::Level,
    stats::Stats,
    stream::{Arrived, Kind},
};
use crate::{
    audio::{Audio, AudioFormat, Frame, SampleRate},
    codec::{Codec, Decoder, g711, opus},
    conceal::{Concealer, FADED},
    noise::Noise,
    resample::{self, Tuner},
    sdp::{Direction, Negotiated},
    suppress::Suppressor,
};

/// How long the phone may be late with a packet before audio is made up in its place, all that was due by then at once.
/// A provider counts samples, not arrivals: it loses nothing by waiting, while audio made up for a packet that is only
/// late is heard besides it. Shorter than any silence that ends a turn.
///
/// A surplus is waited for as well, up to as long again: what was made up for one stall stands for the next. A network that
/// lets packets go in bursts would have as much made up before each of them.
const PATIENCE: Duration = Duration::from_millis(120);
/// The longest timestamp gap without a missing packet that counts as missing audio: FreeSWITCH drops or merges single
/// frames, and in a pause as short as that nothing is made up yet: [`PATIENCE`], and the packet it begins behind. What
/// is longer is a pause that was filled meanwhile, or gave a surplus back, or another timestamp base.
const DROPPED_FRAMES: Duration = Duration::from_millis(140);
/// How far wall clock and timestamps may differ over a pause of the sender.
const PAUSE_TOLERANCE: Duration = Duration::from_millis(200);
/// The longest run of missing audio that is filled; beyond it is silence that was filled in already, or an outage.
const LONGEST_FILL: Duration = Duration::from_secs(1);
/// What is missing is made up in pieces like the frame before it, and in none shorter: a packet may hold a single sample, and
/// each piece costs a message to the provider.
const SHORTEST_PIECE: Duration = Duration::from_millis(10);
/// Who pauses in Opus sends a packet every 400 ms at the least, and may be late with it. For a second more the decoder
/// goes on with the noise of the background; then the phone has stopped sending.
const LONGEST_REST: Duration = Duration::from_millis(1_400);
/// The most frames one wake-up makes up; after a longer sleep the stream goes on from where it woke.
const LONGEST_SILENCE: u32 = 20;

/// A piece of the caller's audio: in the provider's format, and as the detector wants it.
#[derive(Debug)]
pub(super) struct Piece {
    /// What goes up of it; nothing of what is left out.
    pub(super) audio: Option<Audio>,
    /// PCM at [`Uplink::rate`].
    pub(super) samples: Vec<i16>,
    /// When the packet arrived that it came in, or when it was made up.
    pub(super) at: Instant,
    pub(super) origin: Origin,
    /// RTP time of its first sample, if the caller sent it.
    pub(super) timestamp: Option<u32>,
    /// What the packets held that are lost before it.
    pub(super) lost: Duration,
}

/// Where a piece comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The caller sent it.
    Caller,
    /// We made it up.
    MadeUp,
}

/// Where the audio of a packet belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Behind what went up before.
    Next,
    /// Where noise of the background was made up before it came: a pause of Opus goes on, and this is its noise.
    Taken,
}

/// Why audio is missing before a packet.
#[derive(Clone, Copy, Debug)]
enum Gap<'a> {
    /// Packets were, or a sender dropped frames. Only the last frame of it can be in the packet `next`.
    Lost { next: Option<&'a [u8]> },
    /// The caller's encoder skipped it in a pause.
    Skipped,
}

/// The receiving half of a session, behind the reorder window.
#[derive(Debug)]
pub(super) struct Uplink {
    codec: Codec,
    /// Of what is decoded.
    rate: SampleRate,
    format: AudioFormat,
    ptime: Duration,
    listening: bool,
    /// `None` after libopus failed to set up; then everything is concealed.
    decoder: Option<Decoder>,
    /// Of the codecs the caller has turned away from, for when he comes back: each knows the past of its own stream.
    others: Vec<(Codec, Decoder)>,
    concealer: Concealer,
    /// To the provider's rate.
    resampler: Option<Tuner>,
    /// At the provider's rate, if wanted.
    suppressor: Option<Suppressor>,
    follows: Option<Follows>,
    /// Packets missing before the next.
    missing: u64,
    /// What the packets held that are lost since the last that was heard.
    lost: Duration,
    /// Audio made up since the last that came.
    made_up: Duration,
    /// What a caller who rests sounds like.
    noise: Option<Noise>,
    /// The same of a pause in Opus.
    background: Background,
    /// When the next packet should come, and when its lateness is made up for.
    expected: Instant,
    patient_until: Instant,
    level: Level,
    pieces: VecDeque<Piece>,
}

/// What is known of the audio before.
#[derive(Clone, Copy, Debug)]
struct Follows {
    /// The timestamp that follows it.
    timestamp: u32,
    /// Samples of the frame.
    samples: usize,
    at: Instant,
    /// No event and no pause came between.
    adjacent: bool,
    /// There was no voice at its end, as the caller's encoder tells.
    rests: bool,
}

impl Follows {
    /// Samples of so many frames like it.
    fn times(self, frames: u64) -> usize {
        usize::try_from(frames).unwrap_or(usize::MAX).saturating_mul(self.samples)
    }
}

impl Uplink {
    pub(super) fn new(media: &Negotiated, format: AudioFormat, now: Instant) -> Self {
        let mut uplink = Self {
            codec: media.codec,
            rate: media.codec.decoded_at(format.rate()),
            format,
            ptime: media.ptime,
            listening: media.direction == Direction::SendRecv,
            decoder: None,
            others: Vec::new(),
            concealer: Concealer::new(media.codec.decoded_at(format.rate())),
            resampler: None,
            suppressor: None,
            follows: None,
            missing: 0,
            lost: Duration::ZERO,
            made_up: Duration::ZERO,
            noise: None,
            background: Background::default(),
            expected: now + media.ptime,
            patient_until: now + media.ptime + PATIENCE,
            level: Level::new(now),
            pieces: VecDeque::new(),
        };
        uplink.feed(format);
        uplink
    }

    /// What follows is in the codec of `media`.
    pub(super) fn renegotiate(&mut self, media: &Negotiated) {
        self.ptime = media.ptime;
        // On hold the peer may send music: the provider must not take it for the caller, nor its pauses for his.
        self.listening = media.direction == Direction::SendRecv;
        if !self.listening {
            self.noise = None;
        }
        self.turn_to(media.codec);
    }

    /// What follows is in this codec. Nothing is built twice for a peer that alternates between two.
    pub(super) fn turn_to(&mut self, codec: Codec) {
        if codec == self.codec {
            return;
        }
        self.rate = codec.decoded_at(self.format.rate());
        let decoder = match self.others.iter().position(|(other, _)| *other == codec) {
            Some(index) => Some(self.others.swap_remove(index).1),
            None => Decoder::to(codec, self.rate).ok(), // without one, frames count as codec errors and are concealed
        };
        let before = std::mem::replace(&mut self.decoder, decoder);
        self.others.extend(before.map(|before| (self.codec, before)));
        self.codec = codec;
        self.concealer = Concealer::new(self.rate);
        let tuned = self.resampler.as_mut().map(|resampler| resampler.tune(self.rate));
        debug_assert!(!matches!(tuned, Some(Err(_))), "`Session::new` has shown that it works: {tuned:?}");
        self.forget();
    }

    /// Another stream is another encoder's: what a decoder knows of the one before is wrong of it.
    pub(super) fn restart(&mut self) {
        self.decoder = Decoder::to(self.codec, self.rate).ok(); // as above
        self.others.clear();
        self.forget();
    }

    /// Nothing before tells of what follows.
    fn forget(&mut self) {
        self.concealer.reset();
        self.noise = None;
        self.background.forget();
        self.follows = None;
        self.missing = 0;
        self.lost = Duration::ZERO;
    }

    /// So many packets before the next one are lost.
    pub(super) fn miss(&mut self, packets: u64) {
        self.missing = self.missing.saturating_add(packets);
    }

    /// What is missing before the next packet is filled in this codec: that packet is in another. How much it was is told by
    /// the sequence alone, since timestamps may tick otherwise from there on.
    pub(super) fn fill_up(&mut self, now: Instant, stats: &mut Stats) {
        let lost = std::mem::take(&mut self.missing);
        if lost > 0 && self.listening {
            let samples = self.follows.map_or(0, |follows| follows.times(lost));
            self.fill(samples, Gap::Lost { next: None }, now, stats);
        }
    }

    /// The next packet in order.
    pub(super) fn accept(&mut self, packet: Arrived, now: Instant, stats: &mut Stats) {
        match packet.kind {
            // A gateway that pads: it has its place in the sequence, and what is missing is told by the audio after it.
            Kind::Audio(_) if packet.payload.is_empty() => return,
            Kind::Audio(_) => {}
            Kind::Noise => return self.rest(&packet.payload),
            Kind::Event(_) | Kind::Other => return self.part(),
        }
        let place = self.place_of(&packet.payload);
        let lost = self.follows.map_or(0, |follows| follows.times(self.missing));
        let missing = self.missing_before(&packet, now, stats);
        if self.listening {
            self.lost += self.rate.duration_of(lost.min(self.rate.samples_in(LONGEST_FILL)));
            let rests = self.follows.is_some_and(|follows| follows.rests);
            let gap = if rests && lost == 0 { Gap::Skipped } else { Gap::Lost { next: Some(&packet.payload) } };
            self.fill(missing, gap, now, stats);
        }
        let decoded = self.decode(&packet.payload);
        if !self.listening {
            return self.follow(&packet, decoded.map_or(0, |samples| samples.len()));
        }
        match decoded {
            Some(samples) if samples.is_empty() => {}
            Some(samples) => self.give(packet, place, samples, now, stats),
            None => {
                stats.codec_errors += 1;
                let frame = self.follows.map_or(0, |follows| follows.samples);
                self.fill(frame, Gap::Lost { next: None }, now, stats);
                self.follow(&packet, frame);
            }
        }
    }

    /// What a packet holds. One that says nothing is to libopus as good as lost: it stays out of the stream's decoder.
    fn decode(&mut self, payload: &[u8]) -> Option<Vec<i16>> {
        let rests = self.follows.filter(|follows| follows.rests && opus::says_nothing(payload));
        let noise = rests.and_then(|follows| self.background.samples(follows.samples, self.rate));
        noise.or_else(|| self.decoder.as_mut()?.decode(payload).ok())
    }

    /// RFC 3389 §4: the caller says nothing until the next audio, and sounds like this meanwhile. Nothing is late then.
    fn rest(&mut self, payload: &[u8]) {
        self.part();
        self.noise = self.listening.then(|| Noise::parse(payload));
        self.patient_until = self.expected;
    }

    /// What follows is not next to what was before.
    fn part(&mut self) {
        if let Some(follows) = &mut self.follows {
            follows.adjacent = false;
        }
        self.missing = 0;
    }

    /// Makes up for packets that should have come.
    pub(super) fn handle_timeout(&mut self, now: Instant, stats: &mut Stats) {
        if now < self.patient_until {
            return;
        }
        for _ in 0..LONGEST_SILENCE {
            if self.expected > now {
                return;
            }
            let samples = self.made_up(self.rate.samples_in(self.ptime));
            stats.silence += self.ptime;
            self.made_up += self.ptime;
            self.push(samples, None, self.expected, None);
            self.expected += self.ptime;
        }
        if self.expected <= now {
            self.expected = now + self.ptime;
        }
    }

    /// When that is due.
    pub(super) fn deadline(&self) -> Instant {
        self.expected.max(self.patient_until)
    }

    pub(super) fn format(&self) -> AudioFormat {
        self.format
    }

    /// From here on noise is damped in what the provider is given.
    pub(super) fn suppress_noise(&mut self) -> Result<(), resample::Error> {
        self.suppressor = Some(Suppressor::new(self.format.rate())?);
        Ok(())
    }

    /// What it yields is in this format from here on. A decoder that goes on giving the same rate goes on, with all it
    /// knows of the stream; and a caller who rests goes on resting.
    pub(super) fn feed(&mut self, format: AudioFormat) {
        self.format = format;
        let rate = self.codec.decoded_at(format.rate());
        if rate != self.rate || self.decoder.is_none() {
            self.rate = rate;
            self.decoder = Decoder::to(self.codec, rate).ok();
            self.concealer = Concealer::new(rate);
            self.background.forget();
            (self.follows, self.missing) = (None, 0);
        }
        self.others.clear();
        self.resampler = Tuner::new(rate, format.rate()).ok(); // `Session::new` has shown that it works
        if let Some(suppressor) = &mut self.suppressor
            && let Ok(anew) = Suppressor::new(format.rate())
        {
            *suppressor = anew;
        }
    }

    /// Another phone may be heard from here on. Its caller has not said that he rests.
    pub(super) fn forget_rest(&mut self) {
        self.noise = None;
    }

    /// Whether the caller said that nothing more comes until he speaks again (RFC 3389 §4).
    pub(super) fn rests(&self) -> bool {
        self.noise.is_some()
    }

    pub(super) fn codec(&self) -> Codec {
        self.codec
    }

    /// Samples per second of its pieces.
    pub(super) fn rate(&self) -> SampleRate {
        self.rate
    }

    /// What came of it next.
    pub(super) fn poll_piece(&mut self) -> Option<Piece> {
        self.pieces.pop_front()
    }

    fn place_of(&self, payload: &[u8]) -> Place {
        let rests = self.follows.is_some_and(|follows| follows.rests);
        let goes_on = rests && !self.made_up.is_zero() && opus::is_without_voice(payload);
        if goes_on { Place::Taken } else { Place::Next }
    }

    fn give(&mut self, packet: Arrived, place: Place, mut samples: Vec<i16>, now: Instant, stats: &mut Stats) {
        self.follow(&packet, samples.len());
        let Arrived { payload, timestamp, at, .. } = packet;
        let changed = self.concealer.accept(&mut samples);
        let untouched = Some(payload).filter(|_| !changed);
        let rate = self.rate;
        let frame = rate.duration_of(samples.len());
        self.made_up = Duration::ZERO;
        self.noise = None;
        self.expected = now + frame;
        let taken = place == Place::Taken;
        // However loud the background is: nobody misses noise for which there was other noise. It is no piece, either: in a
        // recording, and to whoever counts time by what is heard, the pause would last longer by it.
        let replaced = taken && self.level.ahead(now) > frame / 2;
        if !replaced && self.level.leave_out(&samples, rate, now, stats) {
            let (origin, timestamp, lost) = (Origin::Caller, Some(timestamp), std::mem::take(&mut self.lost));
            self.pieces.push_back(Piece { audio: None, samples, at, origin, timestamp, lost });
        } else if !replaced {
            self.push(samples, untouched, at, Some(timestamp));
        }
        self.patient_until = self.expected + PATIENCE + self.level.surplus(self.expected).min(PATIENCE);
        if taken {
            // What is ahead is given back by less noise until the next packet of the pause.
            self.expected = self.expected.max(now + self.level.ahead(now));
        }
    }

    fn follow(&mut self, packet: &Arrived, samples: usize) {
        let timestamp = packet.timestamp.wrapping_add(self.ticks_of(samples));
        let rests = self.codec == Codec::Opus && opus::is_without_voice(&packet.payload);
        match rests {
            true if opus::says_nothing(&packet.payload) => {}
            true => self.background.hear(&packet.payload),
            false => self.background.forget(),
        }
        self.follows = Some(Follows { timestamp, samples, at: packet.at, adjacent: true, rests });
    }

    /// Samples missing between the audio before and this packet. Loss is told by sequence numbers; timestamps only say
    /// how much audio that was, or that a sender dropped a frame without leaving a gap in the sequence. One whose timestamps
    /// run ahead of its audio, as those of phones that tick at 16 kHz in G.722 (RFC 3551 §4.5.2 has 8), drops none: then
    /// more goes up than time has passed.
    fn missing_before(&mut self, packet: &Arrived, now: Instant, stats: &mut Stats) -> usize {
        let lost = std::mem::take(&mut self.missing);
        let Some(follows) = self.follows else { return 0 };
        let ahead = i64::from(packet.timestamp.wrapping_sub(follows.timestamp) as i32);
        let by_sequence = follows.times(lost);
        let by_timestamp = u64::try_from(ahead).ok().map(|ticks| self.samples_of(ticks));
        if lost > 0 {
            // Believe the timestamps as long as they are near what the sequence says.
            return by_timestamp.filter(|n| *n > 0 && *n <= by_sequence.saturating_mul(2)).unwrap_or(by_sequence);
        }
        let Some(samples) = by_timestamp else {
            stats.timestamp_jumps += 1;
            return 0;
        };
        if samples <= self.rate.samples_in(DROPPED_FRAMES) {
            if samples == 0 || !follows.adjacent {
                return 0;
            }
            let runs_ahead = !follows.rests && self.level.has_surplus(now);
            stats.timestamp_jumps += u64::from(runs_ahead);
            return if runs_ahead { 0 } else { samples };
        }
        let pause = packet.at.saturating_duration_since(follows.at);
        if self.rate.duration_of(samples).abs_diff(pause) > PAUSE_TOLERANCE {
            stats.timestamp_jumps += 1;
        }
        0
    }

    fn ticks_of(&self, samples: usize) -> u32 {
        (samples as u64 * u64::from(self.codec.clock_rate()) / u64::from(self.rate.hz())) as u32
    }

    fn samples_of(&self, ticks: u64) -> usize {
        let samples = ticks * u64::from(self.rate.hz()) / u64::from(self.codec.clock_rate());
        usize::try_from(samples).unwrap_or(usize::MAX)
    }

    /// Makes up for what is missing, less what was made up meanwhile.
    fn fill(&mut self, missing: usize, gap: Gap<'_>, now: Instant, stats: &mut Stats) {
        let rate = self.rate;
        let made_up = rate.samples_in(std::mem::take(&mut self.made_up));
        let longest = LONGEST_FILL.min(self.level.room(now));
        let mut left = missing.saturating_sub(made_up).min(rate.samples_in(longest));
        match gap {
            Gap::Lost { .. } => stats.concealed += rate.duration_of(left),
            Gap::Skipped => stats.silence += rate.duration_of(left),
        }
        let frame = self.follows.map_or(left, |follows| follows.samples).max(rate.samples_in(SHORTEST_PIECE));
        while left > 0 {
            let count = left.min(frame);
            let samples = match gap {
                Gap::Lost { next } => self.conceal(count, next.filter(|_| left <= frame)),
                Gap::Skipped => self.background(count),
            };
            self.push(samples, None, now, None);
            left -= count;
        }
    }

    /// More of what the caller's pause in Opus sounds like.
    fn background(&mut self, count: usize) -> Vec<i16> {
        self.background.samples(count, self.rate).unwrap_or_else(|| self.conceal(count, None))
    }

    /// By what the packet `next` carries of it, or by the codec's own concealment if it has one.
    fn conceal(&mut self, count: usize, next: Option<&[u8]>) -> Vec<i16> {
        let lost = self.rate.duration_of(count);
        let own = self.decoder.as_mut().and_then(|decoder| match next {
            Some(next) => decoder.repair(next, lost),
            None => decoder.conceal(lost),
        });
        own.filter(|own| own.len() == count).unwrap_or_else(|| self.concealer.conceal(count))
    }

    /// What stands in for a phone that sends nothing: it first goes on as the caller did, and fades; then it is silence.
    /// In a pause of Opus all that was is the noise of the background, which does not fade: silence between two packets
    /// of the pause would make a pulse of it.
    fn made_up(&mut self, count: usize) -> Vec<i16> {
        let rests = self.follows.is_some_and(|follows| follows.rests);
        let longest = if rests { LONGEST_REST } else { FADED };
        match &mut self.noise {
            Some(noise) if self.listening => noise.samples(count),
            None if self.listening && self.made_up < longest && rests => self.background(count),
            None if self.listening && self.made_up < longest => self.conceal(count, None),
            Some(_) | None => vec![0; count],
        }
    }

    /// `timestamp` is that of a packet; without one the piece was made up.
    fn push(&mut self, samples: Vec<i16>, payload: Option<Vec<u8>>, at: Instant, timestamp: Option<u32>) {
        let Some(audio) = self.convert(&samples, payload) else { return };
        let (origin, lost) = match timestamp {
            Some(_) => (Origin::Caller, std::mem::take(&mut self.lost)),
            None => (Origin::MadeUp, Duration::ZERO),
        };
        self.level.give(self.rate.duration_of(samples.len()));
        self.pieces.push_back(Piece { audio: Some(audio), samples, at, origin, timestamp, lost });
    }

    /// In the provider's format; bytes of its own law pass untouched, unless noise is damped in them.
    fn convert(&mut self, samples: &[i16], payload: Option<Vec<u8>>) -> Option<Audio> {
        let resampler = self.resampler.as_mut()?;
        if let (AudioFormat::G711(law), Some(bytes), None) = (self.format, payload, &self.suppressor)
            && self.codec.law() == Some(law)
        {
            resampler.reset();
            return Some(Audio::G711 { law, bytes });
        }
        let mut samples = resampler.process(samples);
        if let Some(suppressor) = &mut self.suppressor {
            samples = suppressor.process(&samples);
        }
        Some(match self.format {
            AudioFormat::G711(law) => Audio::G711 { law, bytes: g711::encode(law, &samples) },
            AudioFormat::Pcm(rate) => Audio::Pcm(Frame { rate, samples }),
        })
    }
}

/// Whether the caller's audio can be brought into the provider's format.
pub(super) fn probe(codec: Codec, format: AudioFormat) -> Result<(), super::Error> {
    let rate = codec.decoded_at(format.rate());
    Decoder::to(codec, rate)?;
    Tuner::new(rate, format.rate())?;
    Ok(())
}
