//! From the queue to RTP: one packet for every packet time, speech or silence, from the first to the last.
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::{
    Event,
    pace::Pace,
    pause::{self, Pause, Sound},
    stats::Stats,
    taping::Slot,
    tones::Sounded,
};
use crate::{
    audio::{Audio, SampleRate},
    codec::{Codec, Encoder, g711},
    dtmf::{self, Means, Step},
    playout::Playout,
    rtp,
    sdp::Negotiated,
};

/// Packets of the past that an encoder must know to go on where others were sent in its place: with five it makes what it
/// would have made.
const PAST: usize = 5;

/// The sending half of a session.
#[derive(Debug)]
pub(super) struct Downlink {
    pub(super) sender: rtp::Sender,
    pub(super) playout: Playout,
    pub(super) digits: dtmf::Sender,
    /// Keys that went out, whose echo may come.
    pub(super) sounded: Sounded,
    pace: Pace,
    media: Negotiated,
    /// `None` after libopus failed to set up: nothing can be sent until the next description.
    encoder: Option<Encoder>,
    /// What went past it as packets made beforehand, the last of it: it is told before it makes the next.
    bypassed: VecDeque<Vec<i16>>,
    /// RTP ticks from the first slot to the next.
    ticks: u64,
    /// The next packet begins a talkspurt (RFC 3551 §4.1), if it is speech.
    after_silence: bool,
    /// Since we spoke last.
    pause: Pause,
    /// The timestamp all packets of a DTMF press carry.
    press: u32,
    /// Speech sent by the last wake-up, and when it was due.
    spoken: VecDeque<(Audio, Instant)>,
    /// What left in each slot since the session looked, while it is recorded.
    pub(super) slots: Option<Vec<Slot>>,
}

/// What one slot is filled with.
enum Filling {
    /// And the packet it is, if that was made beforehand.
    Speech(Audio, Option<Vec<u8>>),
    Silence,
}

impl Downlink {
    pub(super) fn new(media: &Negotiated, seed: u64, max_queued: Duration, now: Instant) -> Self {
        Self {
            sender: rtp::Sender::new(seed),
            playout: Playout::new(media.codec, media.ptime, max_queued),
            digits: dtmf::Sender::default(),
            sounded: Sounded::default(),
            pace: Pace::new(now, media.ptime),
            encoder: Encoder::new(media.codec, media.opus).ok(), // `Session::new` has shown that it works
            bypassed: VecDeque::new(),
            media: media.clone(),
            ticks: 0,
            after_silence: true,
            pause: Pause::default(),
            press: 0,
            spoken: VecDeque::new(),
            slots: None,
        }
    }

    pub(super) fn renegotiate(&mut self, media: &Negotiated) {
        self.playout.renegotiate(media.codec, media.ptime);
        if (media.codec, media.opus) != (self.media.codec, self.media.opus) {
            self.encoder = Encoder::new(media.codec, media.opus).ok(); // without one nothing is sent; the peer's watchdog sees it
        }
        if media.codec != self.media.codec {
            self.bypassed.clear();
        }
        if media.ptime != self.pace.ptime() {
            self.pace.change(media.ptime);
        }
        if media.direction != self.media.direction {
            self.pause = Pause::default(); // a hold is over, or begins: noise is told anew
        }
        if media.direction.sends() != self.sends() {
            self.playout.give_way();
        }
        self.media = media.clone();
        self.after_silence = true;
    }

    /// Whether RTP is sent at all: not while the peer put us on hold.
    pub(super) fn sends(&self) -> bool {
        self.media.direction.sends()
    }

    /// What ends the key that is being pressed, if by `media` nothing is sent any more: as was agreed on before that.
    pub(super) fn end_press(&mut self, media: &Negotiated) -> Vec<Vec<u8>> {
        if !self.sends() || media.direction.sends() {
            return Vec::new();
        }
        let ends = self.digits.break_off(self.pace.ptime(), self.means());
        ends.into_iter().map(|event| self.event(event, false, self.press)).collect()
    }

    /// What ends the key that is being told by events, of the source that began it.
    pub(super) fn end_events(&mut self) -> Vec<Vec<u8>> {
        if !self.sends() {
            return Vec::new();
        }
        let ends = self.digits.end(self.pace.ptime(), self.means());
        ends.into_iter().map(|event| self.event(event, false, self.press)).collect()
    }

    pub(super) fn deadline(&self) -> Instant {
        self.pace.deadline()
    }

    /// What our RTP clock shows at `now` (RFC 3550 §6.4.1): between two packets, too, and during a key's events, which
    /// all carry the timestamp of its start.
    pub(super) fn timestamp_at(&self, now: Instant) -> u32 {
        let clock = u128::from(self.media.codec.clock_rate());
        let ticks = |time: Duration| (time.as_micros() * clock / 1_000_000) as u32;
        let next = self.sender.timestamp(self.ticks);
        let until = self.deadline().saturating_duration_since(now);
        let since = now.saturating_duration_since(self.deadline());
        next.wrapping_sub(ticks(until)).wrapping_add(ticks(since))
    }

    /// The next of the speech that was sent, with the time of its slot: how late the wake-up was is not in it.
    pub(super) fn poll_spoken(&mut self) -> Option<(Audio, Instant)> {
        self.spoken.pop_front()
    }

    /// The packets that are due.
    pub(super) fn handle_timeout(
        &mut self,
        now: Instant,
        stats: &mut Stats,
        events: &mut VecDeque<Event>,
    ) -> Vec<Vec<u8>> {
        let mut slot = self.pace.deadline();
        let due = self.pace.advance(now);
        if due.skipped > 0 {
            stats.pacing.skipped += due.skipped;
            self.ticks += due.skipped * u64::from(self.ticks_per_slot());
            self.digits.skip(due.skipped, self.pace.ptime());
            self.after_silence = true;
            let skipped = u32::try_from(due.skipped).unwrap_or(u32::MAX);
            let lasting = self.pace.ptime().saturating_mul(skipped);
            slot += lasting;
            self.note(lasting);
        }
        stats.pacing.late += u64::from(due.frames > 1);
        let mut packets = Vec::new();
        for _ in 0..due.frames {
            packets.extend(self.fill_slot((slot, now), stats, events));
            slot += self.pace.ptime();
        }
        stats.sent += packets.len() as u64;
        packets
    }

    /// `due` and `now`: when the slot is by the grid, and by the clock.
    fn fill_slot(
        &mut self,
        (due, now): (Instant, Instant),
        stats: &mut Stats,
        events: &mut VecDeque<Event>,
    ) -> Option<Vec<u8>> {
        let timestamp = self.sender.timestamp(self.ticks);
        self.ticks += u64::from(self.ticks_per_slot());
        self.note(self.pace.ptime());
        if !self.sends() {
            self.after_silence = true;
            return None;
        }
        let step = self.digits.step(self.pace.ptime(), self.means());
        if step.is_some() {
            self.pause = Pause::default();
            self.playout.give_way();
        }
        if let Some(digit) = step.and_then(Step::digit) {
            self.sounded.note(digit, now + self.pace.ptime(), now);
        }
        match step {
            Some(Step::Event { event, first }) => Some(self.event(event, first, timestamp)),
            Some(Step::Tone { digit, frame }) => {
                let samples = self.samples_per_slot();
                let tone = dtmf::tone(digit, self.media.codec.sample_rate(), samples * frame as usize, samples);
                self.audio(Filling::Speech(pcm(self.media.codec.sample_rate(), tone), None), timestamp, stats)
            }
            Some(Step::Pause) => self.audio(Filling::Silence, timestamp, stats),
            None => self.speech(timestamp, (due, now), stats, events),
        }
    }

    fn speech(
        &mut self,
        timestamp: u32,
        (due, now): (Instant, Instant),
        stats: &mut Stats,
        events: &mut VecDeque<Event>,
    ) -> Option<Vec<u8>> {
        let taken = self.playout.take();
        let filling = match taken {
            Some(taken) => {
                if taken.first {
                    events.push_back(Event::FirstPacket { utterance: taken.utterance, at: now });
                }
                self.spoken.push_back((taken.audio.clone(), due));
                self.pause = Pause::default();
                Some(Filling::Speech(taken.audio, taken.packet))
            }
            None => None,
        };
        let packet = match filling {
            Some(speech) => self.audio(speech, timestamp, stats),
            None => self.silence(timestamp, stats),
        };
        events.extend(std::iter::from_fn(|| self.playout.poll_ended()).map(Event::PlayedOut));
        packet
    }

    /// Silence, or what stands for it where comfort noise is sent.
    fn silence(&mut self, timestamp: u32, stats: &mut Stats) -> Option<Vec<u8>> {
        let Some(agreed) = self.media.comfort_noise.filter(|agreed| agreed.sent) else {
            return self.audio(Filling::Silence, timestamp, stats);
        };
        let sound = self.pause.next(self.pace.ptime());
        if sound == Sound::Silence {
            return self.audio(Filling::Silence, timestamp, stats);
        }
        self.after_silence = true;
        let payload = [pause::LEVEL];
        (sound == Sound::Noise).then(|| self.sender.packetize(agreed.payload_type.sent, false, timestamp, &payload))
    }

    fn audio(&mut self, filling: Filling, timestamp: u32, stats: &mut Stats) -> Option<Vec<u8>> {
        let marker = self.after_silence && (matches!(filling, Filling::Speech(..)) || self.sender.packets() == 0);
        self.after_silence = matches!(filling, Filling::Silence);
        if let (Filling::Speech(audio, _), Some(slot)) =
            (&filling, self.slots.as_mut().and_then(|slots| slots.last_mut()))
        {
            slot.audio = Some(audio.clone());
        }
        let Some(payload) = self.payload(filling) else {
            stats.codec_errors += 1;
            return None;
        };
        if payload.is_empty() {
            self.after_silence = true; // RFC 3551 §4.1: the first packet after a pause is marked
            return None;
        }
        Some(self.sender.packetize(self.media.payload_type.sent, marker, timestamp, &payload))
    }

    /// For the recording: time passes, in silence so far.
    fn note(&mut self, lasting: Duration) {
        if let Some(slots) = &mut self.slots {
            slots.push(Slot { lasting, audio: None });
        }
    }

    fn payload(&mut self, filling: Filling) -> Option<Vec<u8>> {
        let samples = match filling {
            Filling::Speech(audio, Some(packet)) => {
                if self.bypassed.len() >= PAST {
                    self.bypassed.pop_front();
                }
                if let Audio::Pcm(frame) = audio {
                    self.bypassed.push_back(frame.samples);
                }
                return Some(packet);
            }
            Filling::Speech(Audio::G711 { law, bytes }, None) if self.media.codec.law() == Some(law) => {
                return Some(bytes);
            }
            Filling::Speech(Audio::G711 { law, bytes }, None) => g711::decode(law, &bytes),
            Filling::Speech(Audio::Pcm(frame), None) => frame.samples,
            Filling::Silence => match self.media.codec.law() {
                Some(law) => return Some(vec![g711::silence(law); self.samples_per_slot()]),
                None => vec![0; self.samples_per_slot()],
            },
        };
        let encoder = self.encoder.as_mut()?;
        for frame in self.bypassed.drain(..) {
            encoder.encode(&frame).ok()?;
        }
        encoder.encode(&samples).ok()
    }

    /// RFC 4733 §2.5.1.2: all packets of a press carry the timestamp of its start.
    fn event(&mut self, event: dtmf::Event, first: bool, timestamp: u32) -> Vec<u8> {
        if first {
            self.press = timestamp;
        }
        self.after_silence = true;
        let payload_type = self.media.telephone_event.map_or(self.media.payload_type, |agreed| agreed.payload_type);
        self.sender.packetize(payload_type.sent, first, self.press, &event.to_bytes())
    }

    fn means(&self) -> Means {
        self.media.telephone_event.map_or(Means::Tone, |agreed| Means::Event { clock: agreed.clock })
    }

    fn samples_per_slot(&self) -> usize {
        self.media.codec.sample_rate().samples_in(self.pace.ptime())
    }

    fn ticks_per_slot(&self) -> u32 {
        self.media.codec.ticks_in(self.pace.ptime())
    }
}

fn pcm(rate: SampleRate, samples: Vec<i16>) -> Audio {
    Audio::Pcm(crate::audio::Frame { rate, samples })
}

/// Whether libopus can be set up both ways.
pub(super) fn probe(codec: Codec) -> Result<(), crate::codec::Error> {
    Encoder::new(codec, crate::codec::opus::Receiver::default()).and(crate::codec::Decoder::new(codec)).map(drop)
}
