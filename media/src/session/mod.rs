//! One call's media: RTP in, the caller's audio out; the assistant's audio in, RTP out.
//!
//! Feed it datagrams and deadlines, then drain [`Session::poll_transmit`] and [`Session::poll_event`]; neither queue is
//! bounded by itself, since one input makes a handful of entries and they are drained before the next.
mod background;
mod collision;
mod downlink;
mod level;
mod meter;
mod pace;
mod pause;
mod protection;
mod reports;
mod silence;
mod stats;
mod stream;
mod taping;
#[cfg(test)]
mod tests;
mod tones;
mod turn;
mod uplink;
mod voice;

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    audio::{Audio, AudioFormat, Heard, Speech, UtteranceId},
    codec, dtmf, echo,
    ice::Checked,
    latch::{Latch, Policy, Verdict},
    playout::Tail,
    prompt::{Form, Prompt},
    recording::Tape,
    reorder::Released,
    resample, rtcp, rtp,
    sdp::{Direction, Negotiated},
    vad,
};
use collision::Collisions;
use downlink::Downlink;
use meter::Meters;
pub use meter::{Jitter, Poor, Quality, Way, WayQuality};
use protection::{Protection, Protocol};
use reports::Reports;
pub use silence::{Patience, Silence};
pub use stats::{Pacing, Stats, Unbelieved};
use stream::{Continuity, Kind, Stream};
use tones::Tones;
use uplink::Uplink;
use voice::Voice;

/// What a session needs to know at its start.
#[derive(Clone, Debug)]
pub struct Config {
    /// Our RTP address, as in our description.
    pub local: SocketAddr,
    /// What was agreed on.
    pub media: Negotiated,
    /// What the provider wants to be fed with.
    pub uplink: AudioFormat,
    /// Whether noise is damped in what the provider is fed with; what is detected and recorded is as it came.
    pub suppress_noise: bool,
    /// What hears the caller speak, and when.
    pub vad: vad::Config,
    /// What the provider hears of the assistant, come back; recorded is what came. With [`vad::Engine::Off`] nobody
    /// tells it from the caller, and it passes.
    pub echo: echo::Policy,
    /// SSRC, first sequence number, first timestamp and report times come from it.
    pub seed: u64,
    /// The longest a gap waits for its packets; 40 ms unless there is a reason. Shorter where none is ever filled.
    pub reorder_window: Duration,
    /// The most assistant audio that waits; what exceeds it is refused newest first and counted.
    pub max_queued: Duration,
    /// How long the phone may send nothing.
    pub patience: Patience,
    /// [`Event::Poor`] when the mean opinion of a conversation like this falls below, 1 to 4.5.
    pub poor_below: f64,
    /// How long ago 1970 began at `now`: the time of day, for reports.
    pub since_1970: Duration,
}

/// Why a session cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The codec cannot be set up.
    #[error(transparent)]
    Codec(#[from] codec::Error),
    /// The caller's audio cannot be brought into the provider's format.
    #[error(transparent)]
    Resample(#[from] resample::Error),
    /// The detector cannot be set up.
    #[error(transparent)]
    Detector(#[from] vad::Error),
}

/// Which of the two sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channel {
    /// Media.
    Rtp,
    /// Reports, on the next port.
    Rtcp,
}

/// A datagram to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// From which socket.
    pub channel: Channel,
    /// Where to.
    pub remote: SocketAddr,
    /// Its payload.
    pub bytes: Vec<u8>,
}

/// What a session tells its owner.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The caller's audio in the provider's format: continuous, gaps concealed, silence where the phone sends none, or
    /// nothing but our echo.
    Audio(Audio),
    /// The local detector changed its opinion.
    Speech(Speech),
    /// The first packet of an utterance went out.
    FirstPacket {
        /// Which utterance.
        utterance: UtteranceId,
        /// When.
        at: Instant,
    },
    /// The last packet of an utterance went out.
    PlayedOut(Heard),
    /// The caller pressed a key.
    Dtmf(char),
    /// The caller's packets come from here, and ours go there from here on.
    Latched(SocketAddr),
    /// Packets from an address that is not the caller's were dropped for the first time; [`Stats`] count them.
    Foreign(SocketAddr),
    /// A report of ours went out: [`Session::quality`] has an interval more.
    Reported,
    /// RTP stays away; told once per silence, and not while the call is on hold.
    Silent(Silence),
    /// It stayed away too long; told once per silence.
    MediaTimeout(Silence),
    /// One way sounds bad; told once for each.
    Poor(Poor),
}

/// One call's media.
#[derive(Debug)]
pub struct Session {
    media: Negotiated,
    latch: Latch,
    /// Priority of the pair that ICE chose, if it has.
    nominated: Option<u32>,
    stream: Stream,
    uplink: Uplink,
    voice: Voice,
    presses: dtmf::Receiver,
    /// Of peers whose tones are listened to.
    tones: Option<Tones>,
    downlink: Downlink,
    reports: Reports,
    collisions: Collisions,
    /// SRTP, if it was agreed on.
    protection: Option<Protection>,
    /// The recording, if there is one.
    tape: Option<Tape>,
    watch: silence::Watch,
    meters: Meters,
    ended: bool,
    stats: Stats,
    transmits: VecDeque<Transmit>,
    events: VecDeque<Event>,
}

impl Session {
    /// A session that sends from `now` on.
    ///
    /// # Errors
    /// A codec, rate or detector that cannot be set up.
    pub fn new(config: Config, now: Instant) -> Result<Self, Error> {
        downlink::probe(config.media.codec)?;
        uplink::probe(config.media.codec, config.uplink)?;
        let media = config.media;
        let mut uplink = Uplink::new(&media, config.uplink, now);
        if config.suppress_noise {
            uplink.suppress_noise()?;
        }
        let downlink = Downlink::new(&media, config.seed, config.max_queued, now);
        Ok(Self {
            latch: Latch::new(media.remote, Policy::default(), now),
            nominated: None,
            stream: Stream::new(media.codec.clock_rate(), config.reorder_window),
            voice: Voice::new(config.vad, config.echo, uplink.rate(), media.codec.sample_rate())?,
            uplink,
            presses: dtmf::Receiver::default(),
            tones: None,
            reports: Reports::new(downlink.sender.ssrc(), config.local, config.seed, (config.since_1970, now)),
            collisions: Collisions::default(),
            downlink,
            protection: media.srtp.clone().map(Protection::new),
            media,
            tape: None,
            watch: silence::Watch::new(config.patience, now),
            meters: Meters::new(config.poor_below),
            ended: false,
            stats: Stats::default(),
            transmits: VecDeque::new(),
            events: VecDeque::new(),
        })
    }

    /// Which sources besides the signalled one may be taken for the caller; by default other ports of its address.
    pub fn learn_from(&mut self, policy: Policy) {
        self.latch.learn_from(policy);
    }

    /// From here on the tones of keys are listened to as well. A press that is also told by event or INFO stays one digit.
    pub fn listen_for_tones(&mut self) {
        self.tones = Tones::new(self.uplink.rate());
    }

    /// From here on keys count only if they are told in this way.
    pub fn believe_keys(&mut self, only: dtmf::Told) {
        self.presses.believe(only);
    }

    /// The two sides agreed anew: hold, unhold, another address, another codec. Our SSRC, sequence and timestamps go
    /// on, and so does what waits to be played; under another SRTP key a sequence that has wrapped begins anew.
    pub fn renegotiate(&mut self, mut media: Negotiated, now: Instant) {
        self.end_press(&media);
        self.keep_former(&mut media);
        self.rekey(media.srtp.as_ref(), now);
        if media.codec != self.uplink.codec() {
            self.stream.flush();
            self.drain_stream(now);
        }
        // What ICE settled stands until ICE starts anew, whatever the default destination is (RFC 8445 §9).
        let settled = self.nominated.is_some() && media.ice.is_some() && media.ice == self.media.ice;
        if !settled {
            self.nominated = None;
        }
        // RFC 3264 §8.4: who holds by the unspecified address takes nothing, and is where it was.
        let nowhere = media.remote.ip().is_unspecified();
        self.reports.withhold(nowhere);
        if nowhere {
            (media.remote, media.remote_rtcp) = (self.media.remote, self.media.remote_rtcp);
        } else if !settled {
            if media.remote != self.media.remote {
                self.uplink.forget_rest();
            }
            self.latch.signal(media.remote, now);
            self.reports.signal();
        }
        self.turn_to(media.codec, now);
        self.uplink.renegotiate(&media);
        self.voice.speak_at(media.codec.sample_rate());
        self.downlink.renegotiate(&media);
        // A session timer that is refreshed (RFC 4028) is no sign of the phone.
        if media != self.media {
            self.watch.restart(now);
        }
        self.media = media;
    }

    /// A datagram came to the RTP port: RTP, an ICE check, or RTCP that shares the port (RFC 7983, RFC 5761 §4).
    pub fn handle_rtp(&mut self, from: SocketAddr, datagram: &[u8], now: Instant) {
        if self.handle_check(Channel::Rtp, from, datagram, now) {
            return;
        }
        // Where it comes from is judged before its tag is: a copy sent from elsewhere must not make a replay of the
        // caller's own packet.
        match Protocol::of(datagram) {
            Protocol::Rtcp => self.hear_report(from, datagram, now),
            Protocol::Rtp if self.latch.refuses(from, now) => self.refuse(from),
            Protocol::Rtp => self.hear_packet(from, datagram, now),
        }
    }

    fn hear_packet(&mut self, from: SocketAddr, datagram: &[u8], now: Instant) {
        let Some(datagram) = self.bare(Protocol::Rtp, datagram) else { return };
        let Ok(packet) = rtp::Packet::parse(&datagram) else {
            self.stats.malformed += 1;
            return;
        };
        let kind = self.kind(packet.payload_type);
        if kind == Kind::Other {
            self.stats.malformed += 1;
            if self.latch.source() != Some(from) {
                return; // nothing anybody agreed on: no reason to believe its source
            }
        }
        if !self.is_the_callers(from, now) || !self.is_not_ours(packet.ssrc, from, now) {
            return;
        }
        let continuity = self.stream.push(&packet, kind, now, &mut self.stats);
        match kind {
            Kind::Other => self.watch.stir(now),
            Kind::Audio(_) | Kind::Noise | Kind::Event(_) if continuity == Continuity::Dropped => {
                self.watch.repeat(now);
            }
            Kind::Audio(_) | Kind::Noise | Kind::Event(_) => self.watch.hear(self.stats.dropped(), now),
        }
        match continuity {
            Continuity::Continues | Continuity::Beside => {}
            Continuity::Restarts { missed } => {
                self.meters.missed(missed);
                self.presses.restart();
            }
            Continuity::Dropped => return,
        }
        self.meters.shook(self.stream.jitter());
        if let Kind::Event(clock) = kind {
            self.hear_press(&packet, clock, now);
        }
        self.drain_stream(now);
    }

    fn is_the_callers(&mut self, from: SocketAddr, now: Instant) -> bool {
        let verdict = match self.protection {
            Some(_) => self.latch.judge_proven(from, now),
            None => self.latch.judge(from, now),
        };
        match verdict {
            Verdict::Accepted => return true,
            Verdict::Latched => {
                self.reports.moved();
                self.events.push_back(Event::Latched(from));
                return true;
            }
            Verdict::Doubted => self.stats.foreign += 1,
            Verdict::Foreign => self.refuse(from),
        }
        false
    }

    /// Somebody else's packet: dropped and counted, and its source told once.
    fn refuse(&mut self, from: SocketAddr) {
        self.stats.foreign += 1;
        if self.stats.foreign_from.is_none() {
            self.stats.foreign_from = Some(from);
            self.events.push_back(Event::Foreign(from));
        }
    }

    /// A datagram came to the RTCP port.
    pub fn handle_rtcp(&mut self, from: SocketAddr, datagram: &[u8], now: Instant) {
        if self.handle_check(Channel::Rtcp, from, datagram, now) {
            return;
        }
        self.hear_report(from, datagram, now);
    }

    /// Answers an ICE check where it came from. True if it was one.
    fn handle_check(&mut self, channel: Channel, from: SocketAddr, datagram: &[u8], now: Instant) -> bool {
        let Some(credentials) = &self.media.ice else { return false };
        let bytes = match credentials.check(from, datagram) {
            Checked::NotStun => return false,
            Checked::Silent => return true,
            Checked::Refused(response) => response,
            Checked::Answered { response, nominated } => {
                match (channel, nominated) {
                    // Peers of RFC 5245 may nominate every pair they find; the best one is meant (its §8.1.1.2).
                    (Channel::Rtp, nominated @ Some(_)) if nominated >= self.nominated => {
                        self.nominated = nominated;
                        self.latch.nominate(from, now);
                    }
                    (Channel::Rtcp, Some(_)) => self.reports.nominate(from),
                    (Channel::Rtp | Channel::Rtcp, _) => {}
                }
                response
            }
        };
        self.transmits.push_back(Transmit { channel, remote: from, bytes });
        true
    }

    fn hear_report(&mut self, from: SocketAddr, datagram: &[u8], now: Instant) {
        if !self.reports.believes(from, &self.media, &self.latch) {
            return self.refuse(from);
        }
        let Some(datagram) = self.bare(Protocol::Rtcp, datagram) else { return };
        let Some(source) = rtcp::source(&datagram) else {
            self.stats.malformed += 1;
            return;
        };
        if !self.is_not_ours(source, from, now) {
            return;
        }
        if !self.reports.handle(from, &datagram, &self.media, now) {
            self.stats.malformed += 1;
            return;
        }
        let Some(reception) = self.reports.poll_reception() else { return };
        let poor = self.meters.told(reception, &self.downlink.sender, self.reports.round_trip(), &self.media);
        self.events.extend(poor.map(Event::Poor));
    }

    /// The peer told a digit by INFO. A press that also came as telephone-event is one digit.
    pub fn handle_info_dtmf(&mut self, digit: char, now: Instant) {
        self.events.extend(self.presses.handle_info(digit, now).map(Event::Dtmf));
    }

    /// When a key of the caller's was last heard of: pressed, or still held.
    pub fn keys_heard_at(&self) -> Option<Instant> {
        self.presses.heard_at()
    }

    /// The caller was elsewhere and is back: RTP is waited for anew, also after [`Event::MediaTimeout`].
    pub fn wait_anew(&mut self, now: Instant) {
        self.watch.restart(now);
    }

    /// Queues assistant audio behind what waits. Audio of an utterance that was cut or has ended is ignored; what
    /// exceeds [`Config::max_queued`] is refused, and counted in [`Stats::playout_dropped`].
    pub fn play(&mut self, utterance: UtteranceId, audio: &Audio, _now: Instant) {
        self.downlink.playout.play(utterance, audio);
    }

    /// What this call's packets of a sentence depend on; `None` where they need not be made beforehand.
    pub fn form(&self) -> Option<Form> {
        Form::of(&self.media)
    }

    /// A sentence that [`Self::play`] is about to be given has been encoded for calls of this form. Where it is played as it
    /// is, neither ducked nor fading, its packets leave as they are; for calls of another form it means nothing.
    pub fn prepare(&mut self, prompt: Arc<Prompt>) {
        if self.form() == Some(prompt.form()) {
            self.downlink.playout.prepare(prompt);
        }
    }

    /// No more audio of this utterance will come: [`Event::PlayedOut`] follows its last packet, or at once if all of
    /// it is out.
    pub fn finish(&mut self, utterance: UtteranceId, _now: Instant) {
        self.downlink.playout.finish(utterance);
        self.tell_ended();
    }

    /// Lowers the assistant's volume, within 30 ms of audio: the caller may be interrupting.
    pub fn duck(&mut self, _now: Instant) {
        self.downlink.playout.duck();
    }

    /// Silences the assistant for as long as the caller has the word: what waits is kept, and goes on with
    /// [`Self::resume`]. The next 20 ms of it fade out, and count as heard.
    pub fn pause(&mut self, _now: Instant) {
        self.downlink.playout.pause(self.tail());
    }

    /// The assistant goes on after a pause, or at full volume after having been ducked.
    pub fn resume(&mut self, _now: Instant) {
        self.downlink.playout.resume();
    }

    /// Silences the assistant at once: all that waits is dropped and stale from here on. Says what the caller heard of
    /// the utterance that was playing, counting the 20 ms more that fade out. `None` if nothing was queued.
    pub fn cut(&mut self, _now: Instant) -> Option<Heard> {
        self.downlink.playout.cut(self.tail())
    }

    fn tail(&self) -> Tail {
        if self.downlink.sends() { Tail::Fade } else { Tail::Nothing }
    }

    /// The utterance that is playing, or next to play.
    pub fn playing(&self) -> Option<UtteranceId> {
        self.downlink.playout.playing()
    }

    /// How much of an utterance the caller heard so far, or when it ended.
    pub fn heard(&self, utterance: UtteranceId) -> Option<Heard> {
        self.downlink.playout.heard(utterance)
    }

    /// How much assistant audio waits.
    pub fn queued(&self) -> Duration {
        self.downlink.playout.queued()
    }

    /// Presses keys: as telephone-events if the peer agreed on them, else as tones. Speech waits meanwhile. False if too
    /// many wait already; then none of these is pressed.
    pub fn send_dtmf(&mut self, digits: &str, _now: Instant) -> bool {
        self.downlink.digits.queue(digits, dtmf::Way::AsAgreed)
    }

    /// The same as tones, whatever was agreed on.
    pub fn send_tones(&mut self, digits: &str, _now: Instant) -> bool {
        self.downlink.digits.queue(digits, dtmf::Way::Tone)
    }

    /// When the last packet arrived that the detector called speech.
    pub fn last_voice(&self) -> Option<Instant> {
        self.voice.last_voice()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.ended {
            return;
        }
        self.stream.handle_timeout(now);
        self.drain_stream(now);
        if self.stream.deadline().is_none() {
            self.uplink.handle_timeout(now, &mut self.stats);
            self.tell_pieces(now);
        }
        let packets = self.downlink.handle_timeout(now, &mut self.stats, &mut self.events);
        self.transmit_rtp(packets);
        self.tape_slots();
        while let Some((speech, due)) = self.downlink.poll_spoken() {
            self.voice.played(&speech, due);
        }
        if self.reports.deadline() <= now {
            let timestamp = self.downlink.timestamp_at(now);
            let bytes = self.reports.report(&self.downlink.sender, timestamp, self.stream.reception(), now);
            self.transmit_rtcp(bytes);
            let poor = self.meters.reported(&self.media, self.uplink.codec());
            self.events.extend(poor.map(Event::Poor));
            self.events.push_back(Event::Reported);
        }
        if let Some(verdict) = self.watch.handle_timeout(self.due(), self.reports.heard_at(), now) {
            let silence = self.watch.silence(self.latch.remote(), &self.stats, now);
            self.events.push_back(match verdict {
                silence::Verdict::Warn => Event::Silent(silence),
                silence::Verdict::End => Event::MediaTimeout(silence),
            });
        }
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`Self::handle_timeout`] is wanted next, and what for. `None` once the session ended.
    pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        if self.ended {
            return None;
        }
        let deadlines = [
            Some((self.downlink.deadline(), "next RTP packet")),
            // Audio behind a gap is about to come up: no silence is made up before it.
            Some(
                self.stream
                    .deadline()
                    .map_or((self.uplink.deadline(), "caller sends nothing"), |at| (at, "gap given up")),
            ),
            Some((self.reports.deadline(), "RTCP report")),
            self.watch.deadline(self.due(), self.reports.heard_at()).map(|at| (at, "media timeout")),
        ];
        deadlines.into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// Counters and measurements.
    pub fn stats(&self) -> Stats {
        Stats {
            lost: self.stream.lost(),
            jitter: self.stream.jitter(),
            round_trip: self.reports.round_trip(),
            playout_dropped: self.downlink.playout.overflowed(),
            ..self.stats
        }
    }

    /// How the call sounds to either side, so far.
    pub fn quality(&self) -> Quality {
        self.meters.quality(&self.media, self.uplink.codec(), self.latch.remote())
    }

    /// The call is over: RTCP BYE is sent, and nothing after it.
    pub fn end(&mut self, now: Instant) {
        if self.ended {
            return;
        }
        self.ended = true;
        self.take_leave("call ended", now);
    }

    /// RFC 3550 §6.6: BYE for the SSRC that our packets have borne.
    fn take_leave(&mut self, reason: &str, now: Instant) {
        let timestamp = self.downlink.timestamp_at(now);
        let received = self.stream.reception();
        if let Some(bytes) = self.reports.bye((&self.downlink.sender, timestamp), received, reason, now) {
            self.transmit_rtcp(bytes);
        }
    }

    fn kind(&self, payload_type: u8) -> Kind {
        if let Some(codec) = self.codec_of(payload_type) {
            return Kind::Audio(codec);
        }
        match self.event_clock(payload_type) {
            Some(clock) => Kind::Event(clock),
            None if self.is_noise(payload_type) => Kind::Noise,
            None => Kind::Other,
        }
    }

    fn hear_press(&mut self, packet: &rtp::Packet<'_>, clock: u32, now: Instant) {
        if dtmf::Event::parse(packet.payload).is_none() {
            self.stats.malformed += 1;
        }
        self.presses.come_from(packet.ssrc);
        for (event, timestamp) in dtmf::Event::parse_packed(packet.payload, packet.timestamp) {
            let digit = self.presses.handle_event(event, packet.marker, timestamp, clock, now);
            self.events.extend(digit.map(Event::Dtmf));
        }
    }

    fn drain_stream(&mut self, now: Instant) {
        while let Some(released) = self.stream.poll() {
            match released {
                Released::Lost(packets) => {
                    self.meters.missed(packets);
                    self.uplink.miss(packets);
                }
                Released::Restarted => self.uplink.restart(),
                Released::Packet(arrived) => {
                    self.meters.arrived();
                    if let Kind::Audio(codec) = arrived.kind {
                        self.turn_to(codec, now);
                    }
                    self.uplink.accept(arrived, now, &mut self.stats);
                }
            }
        }
        self.tell_pieces(now);
    }

    fn tell_pieces(&mut self, now: Instant) {
        while let Some(mut piece) = self.uplink.poll_piece() {
            self.tape_piece(&piece);
            let speech = self.voice.hear(&mut piece);
            self.hear_tones(&piece, now);
            let audio = piece.audio.filter(|audio| !audio.duration().is_zero());
            self.events.extend(audio.map(Event::Audio));
            self.events.extend(speech.into_iter().map(Event::Speech));
        }
    }

    fn tell_ended(&mut self) {
        let ended = std::iter::from_fn(|| self.downlink.playout.poll_ended());
        self.events.extend(ended.map(Event::PlayedOut));
    }

    fn transmit_rtp(&mut self, packets: Vec<Vec<u8>>) {
        let remote = self.latch.remote();
        for packet in packets {
            let bytes = self.covered(Protocol::Rtp, packet);
            self.transmits.extend(bytes.map(|bytes| Transmit { channel: Channel::Rtp, remote, bytes }));
        }
    }

    fn transmit_rtcp(&mut self, report: Vec<u8>) {
        let (channel, remote) = if self.media.rtcp_mux {
            (Channel::Rtp, self.latch.remote())
        } else {
            (Channel::Rtcp, self.reports.remote(&self.media, &self.latch))
        };
        // RFC 3264 §8.4: a hold by the unspecified address leaves nowhere to send reports to either, but where ICE chose.
        let withheld = self.reports.are_withheld() && self.nominated.is_none();
        if withheld || remote.ip().is_unspecified() {
            return;
        }
        let bytes = self.covered(Protocol::Rtcp, report);
        self.transmits.extend(bytes.map(|bytes| Transmit { channel, remote, bytes }));
    }

    /// The peer need not send while it holds the call, or we do, or its caller rests.
    fn due(&self) -> silence::Due {
        match self.media.direction {
            Direction::SendRecv if self.uplink.rests() => silence::Due::Rest,
            Direction::SendRecv => silence::Due::Rtp,
            Direction::SendOnly | Direction::RecvOnly | Direction::Inactive => silence::Due::Hold,
        }
    }
}
