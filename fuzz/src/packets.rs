//! Media: RTP, RTCP and session descriptions.
use media::{
    codec::Codec,
    dtmf,
    ice::Secret,
    rtcp::Control,
    rtp::Packet,
    sdp::{Direction, Local, Negotiation},
    srtp::{self, Master, Receiver, Sender, Suite},
};
use std::{
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

/// One RTP packet: printed without padding and extension, it is read back as it was.
pub(crate) fn rtp(bytes: &[u8]) {
    let Ok(packet) = Packet::parse(bytes) else { return };
    let printed = packet.to_bytes();
    assert_eq!(Packet::parse(&printed).as_ref(), Ok(&packet));
    if let Some(event) = dtmf::Event::parse(packet.payload) {
        assert_eq!(dtmf::Event::parse(&event.to_bytes()), Some(event));
    }
}

/// Compound RTCP packets, one after the other: the first byte says how long each is, in words of 32 bits.
#[expect(clippy::disallowed_methods, reason = "any origin does: only differences count")]
pub(crate) fn rtcp(bytes: &[u8]) {
    let Some((words, packets)) = bytes.split_first() else { return };
    let mut now = Instant::now();
    let mut control = Control::new(0x0102_0304, "a@b".into(), Duration::ZERO, now);
    for packet in packets.chunks(usize::from(*words).max(1) * 4) {
        now += Duration::from_millis(10);
        control.handle(packet, now);
    }
    assert!(control.round_trip().is_none_or(|time| time < Duration::from_secs(1 << 16)));
}

/// SRTP and SRTCP: the first byte chooses the suite. What comes is believed or not; what can be protected is read back as
/// it was, and only once.
pub(crate) fn srtp(bytes: &[u8]) {
    let Some((suite, packet)) = bytes.split_first() else { return };
    let suite = Suite::ALL[usize::from(*suite) % Suite::ALL.len()];
    let Some(master) = Master::new(suite, &vec![7; suite.master_length()]) else { return };
    let (mut sender, mut receiver) = (Sender::new(&master), Receiver::new(&master));
    // A fuzzer does not find a tag; that nothing panics is what this is about.
    let _ = receiver.unprotect_rtp(&mut packet.to_vec());
    let _ = receiver.unprotect_rtcp(&mut packet.to_vec());
    let mut sealed = packet.to_vec();
    if sender.protect_rtp(&mut sealed).is_ok() {
        let mut opened = sealed.clone();
        assert_eq!((receiver.unprotect_rtp(&mut opened), opened.as_slice()), (Ok(()), packet));
        assert!(receiver.unprotect_rtp(&mut sealed).is_err());
    }
    let mut sealed = packet.to_vec();
    if sender.protect_rtcp(&mut sealed).is_ok() {
        let mut opened = sealed.clone();
        assert_eq!((receiver.unprotect_rtcp(&mut opened), opened.as_slice()), (Ok(()), packet));
        assert!(receiver.unprotect_rtcp(&mut sealed).is_err());
    }
}

/// An offer or an answer: the first byte says what we want, and whether only SRTP. Our answer to an offer reads as an offer, too.
pub(crate) fn sdp(bytes: &[u8]) {
    let Some((wanted_byte, text)) = bytes.split_first() else { return };
    let wanted = match wanted_byte % 4 {
        0 => Direction::SendRecv,
        1 => Direction::SendOnly,
        2 => Direction::RecvOnly,
        _ => Direction::Inactive,
    };
    let local = Local {
        address: SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 16_384),
        session_id: 1,
        codecs: Codec::ALL.to_vec(),
        preference: media::sdp::Preference::Theirs,
        ptime: Duration::from_millis(20),
        comfort_noise: media::sdp::ComfortNoise::Sent,
        ice: Some(Secret::new([7; 32])),
        srtp: (wanted_byte & 4 != 0).then(|| srtp::Secret::new([9; 32])),
    };
    let readable = |ours: &[u8]| {
        let read = Negotiation::new(local.clone()).answer(ours, wanted);
        assert!(read.is_ok(), "{}", String::from_utf8_lossy(ours));
    };
    let mut called = Negotiation::new(local.clone());
    if let Ok(agreed) = called.answer(text, wanted) {
        readable(&agreed.sdp);
        readable(&called.offer(wanted));
    }
    let mut calling = Negotiation::new(local.clone());
    calling.offer(wanted);
    if calling.accept(text).is_ok() {
        readable(&calling.offer(wanted));
    }
}
