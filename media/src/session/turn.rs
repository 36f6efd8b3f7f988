//! The caller turns to another codec: by a new offer and answer, or by sending another of the payload types agreed on.
use super::{Session, uplink};
use crate::{
    audio::{AudioFormat, SampleRate},
    codec::Codec,
    sdp::Negotiated,
};
use std::time::Instant;

impl Session {
    /// The codec that a payload type of the caller's means.
    pub(super) fn codec_of(&self, payload_type: u8) -> Option<Codec> {
        if payload_type == self.media.payload_type.received {
            return Some(self.media.codec);
        }
        let other = self.media.others.iter().find(|(number, _)| *number == payload_type);
        other.map(|(_, codec)| *codec)
    }

    /// Ticks per second of the events that a payload type of the caller's means.
    pub(super) fn event_clock(&self, payload_type: u8) -> Option<u32> {
        event_clock(&self.media, payload_type)
    }

    /// Packets in the codec before are still under way when another has been agreed on, and their number keeps its
    /// meaning (RFC 3264 §8.3.2). A switch that changes the phone behind it may give it another all the same.
    pub(super) fn keep_former(&self, media: &mut Negotiated) {
        let former = self.media.payload_type.received;
        let noise = media.comfort_noise.map(|noise| noise.payload_type);
        let taken = media.payload_type.received == former
            || event_clock(media, former).is_some()
            || noise.is_some_and(|noise| noise.received == former);
        if !taken && media.others.iter().all(|(number, _)| *number != former) {
            media.others.push((former, self.media.codec));
        }
    }

    /// The provider hears this from here on: it was not known, or not settled, when the session began. A format that the
    /// codec cannot be turned into changes nothing.
    pub fn feed(&mut self, format: AudioFormat) {
        if format == self.uplink.format() || uplink::probe(self.uplink.codec(), format).is_err() {
            return;
        }
        self.uplink.feed(format);
        self.hear_at(self.uplink.rate());
    }

    /// What the caller sends is in this codec from the next packet on. What we send is not touched by it.
    pub(super) fn turn_to(&mut self, codec: Codec, now: Instant) {
        if codec == self.uplink.codec() {
            return;
        }
        self.uplink.fill_up(now, &mut self.stats);
        self.tell_pieces(now);
        self.stream.change_clock(codec.clock_rate());
        self.uplink.turn_to(codec);
        self.hear_at(self.uplink.rate());
    }

    fn hear_at(&mut self, rate: SampleRate) {
        self.voice.hear_at(rate);
        if let Some(tones) = &mut self.tones {
            tones.hear_at(rate);
        }
    }
}

fn event_clock(media: &Negotiated, payload_type: u8) -> Option<u32> {
    let mut agreed = media.telephone_event.iter().chain(&media.other_events);
    agreed.find(|event| event.payload_type.received == payload_type).map(|event| event.clock)
}
