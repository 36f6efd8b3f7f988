//! Offers and answers as FreeSWITCH and others write them, then the same with bytes broken.
use super::*;

mod ice_lite;
mod noise;
mod offers;
mod properties;
mod secure;
mod transport;

/// FreeSWITCH 1.10.12, a bridged call (trace s04; s40 offers the same with session timers on).
const FREESWITCH: &str = "v=0\r\no=FreeSWITCH 1795421179 1795421180 IN IP4 127.0.0.1\r\ns=FreeSWITCH\r\n\
    c=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 17058 RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\n\
    a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=silenceSupp:off - - - -\r\na=ptime:20\r\n";

/// Trace s10: FreeSWITCH holds us; `o=` version one more, direction before the other attributes.
const FREESWITCH_HOLD: &str = "v=0\r\no=FreeSWITCH 1795421619 1795421621 IN IP4 127.0.0.1\r\ns=FreeSWITCH\r\n\
    c=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 16696 RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\n\
    a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=sendonly\r\na=silenceSupp:off - - - -\r\na=ptime:20\r\n";

/// Trace s17: a leg that FreeSWITCH originates, with Opus first and telephone events at both clocks.
const FREESWITCH_OPUS: &str = "v=0\r\no=FreeSWITCH 1795421797 1795421798 IN IP4 127.0.0.1\r\ns=FreeSWITCH\r\n\
    c=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 17126 RTP/AVP 102 0 8 103 101\r\na=rtpmap:102 opus/48000/2\r\n\
    a=fmtp:102 useinbandfec=1; maxaveragebitrate=30000; maxplaybackrate=48000; ptime=20; minptime=10; maxptime=40\r\n\
    a=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:103 telephone-event/48000\r\na=fmtp:103 0-15\r\n\
    a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=silenceSupp:off - - - -\r\na=ptime:20\r\n";

/// Trace s18, first half: encryption demanded (two of its eleven keys).
const FREESWITCH_SAVP: &str = "v=0\r\no=FreeSWITCH 1795422267 1795422268 IN IP4 127.0.0.1\r\ns=FreeSWITCH\r\n\
    c=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 16664 RTP/SAVP 0 101\r\na=rtpmap:0 PCMU/8000\r\n\
    a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n\
    a=crypto:1 AEAD_AES_256_GCM_8 inline:N8G3nliBzBTtS7+q0TwCj+CZ9cmPdv366rCo7wglsEg2Yg7js6ZuGpRGQrw=\r\n\
    a=crypto:7 AES_CM_128_HMAC_SHA1_80 inline:jHUhSagb4QL2N2mPyqOkjgwC5pXPB9Xyup4KhQFH\r\n\
    a=silenceSupp:off - - - -\r\na=ptime:20\r\n";

/// The second stream of trace s18, second half: the same port, in the clear.
const FREESWITCH_AVP_TOO: &str = "m=audio 16664 RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\n\
    a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=silenceSupp:off - - - -\r\na=ptime:20\r\n";

/// Trace s22: the re-INVITE of a fax machine.
const T38: &str = "v=0\r\no=lab 1 9 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
    m=image 33998 udptl t38\r\na=T38FaxVersion:0\r\na=T38MaxBitRate:14400\r\n\
    a=T38FaxRateManagement:transferredTCF\r\na=T38FaxUdpEC:t38UDPRedundancy\r\n";

/// As a softphone behind a NAT offers ICE (RFC 8839) and one port for all.
const ICE: &str = "v=0\r\no=maria 7 1 IN IP4 192.168.1.5\r\ns=call\r\nc=IN IP4 198.51.100.7\r\nt=0 0\r\n\
    a=ice-pwd:asd88fgpdd777uzjYhagZg\r\na=ice-ufrag:8hhY\r\nm=audio 45664 RTP/AVPF 96 0 97\r\n\
    a=rtpmap:96 opus/48000/2\r\na=rtpmap:97 telephone-event/48000\r\na=rtcp-fb:* trr-int 1000\r\na=rtcp-mux\r\n\
    a=candidate:1 1 UDP 2130706431 192.168.1.5 45664 typ host\r\n\
    a=candidate:2 1 UDP 1694498815 198.51.100.7 45664 typ srflx raddr 192.168.1.5 rport 45664\r\n";

fn local() -> Local {
    Local {
        address: "192.0.2.9:20000".parse().unwrap(),
        session_id: 77,
        codecs: vec![Codec::Pcma, Codec::Pcmu],
        preference: Preference::Theirs,
        ptime: Duration::from_millis(20),
        comfort_noise: ComfortNoise::Heard,
        ice: None,
        srtp: None,
    }
}

/// The answer to a first offer.
fn answer(offer: &[u8], local: &Local, wanted: Direction) -> Result<Agreed, Error> {
    Negotiation::new(local.clone()).answer(offer, wanted)
}

/// An offer of one stream with these lines after the session's.
fn one(lines: &str) -> String {
    format!("v=0\r\no=- 1 1 IN IP4 198.51.100.7\r\ns=-\r\nc=IN IP4 198.51.100.7\r\nt=0 0\r\n{lines}")
}

fn answered(offer: &str) -> Agreed {
    answer(offer.as_bytes(), &local(), Direction::SendRecv).unwrap_or_else(|error| panic!("{error}: {offer}"))
}

fn refused(offer: &str) -> Error {
    answer(offer.as_bytes(), &local(), Direction::SendRecv).map(|agreed| agreed.media).unwrap_err()
}

fn event(number: u8, clock: u32) -> TelephoneEvent {
    TelephoneEvent { payload_type: PayloadType::same(number), clock }
}

/// The `m=` lines of a description.
fn m_lines(sdp: &[u8]) -> Vec<&str> {
    text(sdp).lines().filter(|line| line.starts_with("m=")).collect()
}

/// The values of an attribute.
fn values<'a>(sdp: &'a [u8], name: &str) -> Vec<&'a str> {
    let prefix = format!("a={name}");
    text(sdp).lines().filter_map(|line| line.strip_prefix(&prefix)).map(|value| value.trim_start_matches(':')).collect()
}

fn text(sdp: &[u8]) -> &str {
    std::str::from_utf8(sdp).unwrap()
}

#[test]
fn rfc3264_6_the_whole_answer_to_freeswitch() {
    let agreed = answered(FREESWITCH);
    let expected = "v=0\r\no=ramal 77 1 IN IP4 192.0.2.9\r\ns=ramal\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n\
        m=audio 20000 RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\n\
        a=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n";
    assert_eq!(text(&agreed.sdp), expected);
    let media = Negotiated {
        remote: "127.0.0.1:17058".parse().unwrap(),
        remote_rtcp: "127.0.0.1:17059".parse().unwrap(),
        rtcp_mux: false,
        codec: Codec::Pcmu,
        payload_type: PayloadType::same(0),
        others: Vec::new(),
        opus: opus::Receiver::default(),
        telephone_event: Some(event(101, 8_000)),
        other_events: Vec::new(),
        comfort_noise: None,
        direction: Direction::SendRecv,
        ptime: Duration::from_millis(20),
        ice: None,
        srtp: None,
    };
    assert_eq!(agreed.media, media);
}

#[test]
fn rfc3264_8_4_freeswitch_holds_and_resumes() {
    let held = answered(FREESWITCH_HOLD);
    assert_eq!(held.media.direction, Direction::RecvOnly);
    assert!(text(&held.sdp).contains("a=recvonly\r\n"));
    assert_eq!(answered(FREESWITCH).media.direction, Direction::SendRecv);
}

/// RFC 3264 §6.1, with what we want beside it.
#[test]
fn rfc3264_6_1_and_8_4_directions_are_reversed_and_the_unspecified_address_is_hold() {
    use Direction::{Inactive, RecvOnly, SendOnly, SendRecv};
    let cases = [
        ("", "", SendRecv, SendRecv),
        ("", "a=sendrecv", SendRecv, SendRecv),
        ("", "a=sendonly", SendRecv, RecvOnly),
        ("", "a=recvonly", SendRecv, SendOnly),
        ("", "a=inactive", SendRecv, Inactive),
        ("a=sendonly", "", SendRecv, RecvOnly),
        ("a=sendonly", "a=sendrecv", SendRecv, SendRecv),
        ("", "a=sendrecv", SendOnly, SendOnly),
        ("", "a=sendonly", SendOnly, Inactive),
        ("", "c=IN IP4 0.0.0.0", SendRecv, RecvOnly),
        ("", "c=IN IP4 0.0.0.0\r\na=inactive", SendRecv, Inactive),
        ("", "c=IN IP4 0.0.0.0\r\na=recvonly", SendRecv, Inactive),
        ("", "c=IN IP6 ::", SendRecv, RecvOnly),
        ("a=inactive", "a=recvonly", SendRecv, SendOnly),
    ];
    for (session, stream, wanted, expected) in cases {
        let offer = one(&format!("{session}\r\nm=audio 4000 RTP/AVP 0\r\n{stream}\r\n"));
        let media = answer(offer.as_bytes(), &local(), wanted).unwrap().media;
        assert_eq!(media.direction, expected, "{session:?} {stream:?} {wanted:?}");
    }
}

#[test]
fn rfc3264_6_1_codecs_go_by_mapping_or_static_type_in_the_peers_order() {
    let all = vec![Codec::Opus, Codec::Pcma, Codec::Pcmu];
    let cases = [
        // Static types need no mapping; the peer's order counts, not ours.
        ("0 8", "", all.clone(), Some((Codec::Pcmu, 0))),
        ("8 0", "", all.clone(), Some((Codec::Pcma, 8))),
        ("0 8", "", vec![Codec::Pcma], Some((Codec::Pcma, 8))),
        ("18 9 8", "a=rtpmap:18 G729/8000", all.clone(), Some((Codec::Pcma, 8))),
        // Dynamic types go by their mapping, in whatever case.
        ("97 0", "a=rtpmap:97 pcma/8000/1", all.clone(), Some((Codec::Pcma, 97))),
        ("9 0", "", vec![Codec::G722, Codec::Pcmu], Some((Codec::G722, 9))),
        ("100 0", "a=rtpmap:100 G722/8000", vec![Codec::G722, Codec::Pcmu], Some((Codec::G722, 100))),
        ("100 0", "a=rtpmap:100 G722/16000", vec![Codec::G722, Codec::Pcmu], Some((Codec::Pcmu, 0))),
        ("97 0", "a=rtpmap:97 L16/16000", vec![Codec::L16Narrow, Codec::L16Wide], Some((Codec::L16Wide, 97))),
        ("97 0", "a=rtpmap:97 L16/8000/1", vec![Codec::L16Narrow, Codec::L16Wide], Some((Codec::L16Narrow, 97))),
        ("97 0", "a=rtpmap:97 L16/16000/2", vec![Codec::L16Wide, Codec::Pcmu], Some((Codec::Pcmu, 0))),
        ("11 0", "", vec![Codec::L16Wide, Codec::Pcmu], Some((Codec::Pcmu, 0))),
        ("116 0", "a=rtpmap:116 OPUS/48000/2", all.clone(), Some((Codec::Opus, 116))),
        ("116 0", "a=rtpmap:116 opus/48000/2", vec![Codec::Pcmu], Some((Codec::Pcmu, 0))),
        // What only looks like one of ours.
        ("97", "a=rtpmap:97 PCMU/16000", all.clone(), None),
        ("97", "a=rtpmap:97 PCMU/8000/2", all.clone(), None),
        ("0", "a=rtpmap:0 L16/8000", all.clone(), None),
        ("96", "", all.clone(), None),
        ("3 4 18", "", all.clone(), None),
        ("x 300 0", "", all, Some((Codec::Pcmu, 0))),
    ];
    for (formats, attributes, codecs, expected) in cases {
        let offer = one(&format!("m=audio 4000 RTP/AVP {formats}\r\n{attributes}\r\n"));
        let found = answer(offer.as_bytes(), &Local { codecs, ..local() }, Direction::SendRecv);
        match (expected, found) {
            (Some(expected), Ok(agreed)) => {
                assert_eq!(
                    (agreed.media.codec, agreed.media.payload_type),
                    (expected.0, PayloadType::same(expected.1)),
                    "{formats}"
                );
            }
            (None, Err(Error::NoCommonCodec(_))) => {}
            (expected, found) => panic!("{formats}: {found:?}, not {expected:?}"),
        }
    }
}

#[test]
fn rfc4733_2_1_opus_has_its_events_at_its_clock() {
    assert_eq!(answered(FREESWITCH_OPUS).media.codec, Codec::Pcmu, "Opus is not in our list");
    let local = Local { codecs: vec![Codec::Opus, Codec::Pcmu], ..local() };
    let agreed = answer(FREESWITCH_OPUS.as_bytes(), &local, Direction::SendRecv).unwrap();
    assert_eq!((agreed.media.codec, agreed.media.payload_type), (Codec::Opus, PayloadType::same(102)));
    assert_eq!(agreed.media.telephone_event, Some(event(103, 48_000)));
    let sdp = text(&agreed.sdp);
    assert!(sdp.contains("m=audio 20000 RTP/AVP 102 103\r\na=rtpmap:102 opus/48000/2\r\na=fmtp:102 "), "{sdp}");
    assert!(sdp.contains("a=rtpmap:103 telephone-event/48000\r\na=fmtp:103 0-15\r\n"), "{sdp}");
}

#[test]
fn rfc4733_2_1_events_are_answered_if_offered_whatever_their_clock() {
    let at = |number, clock| Some(event(number, clock));
    let cases = [
        ("0 101", "a=rtpmap:101 telephone-event/8000", at(101, 8_000)),
        ("0 96", "a=rtpmap:96 TELEPHONE-EVENT/8000/1", at(96, 8_000)),
        ("0", "", None),
        ("0", "a=rtpmap:101 telephone-event/8000", None), // mapped, but not in the m= line: not offered
        // At whatever clock: FreeSWITCH drops our keys when its events go unanswered (facts §8).
        ("0 101", "a=rtpmap:101 telephone-event/16000", at(101, 16_000)),
        ("0 102 101", "a=rtpmap:101 telephone-event/8000\r\na=rtpmap:102 telephone-event/48000", at(101, 8_000)),
        ("0 101", "a=rtpmap:101 telephone-event/1", None),
        ("0 101", "a=rtpmap:101 telephone-event/4294967295", None),
    ];
    for (formats, attributes, expected) in cases {
        let agreed = answered(&one(&format!("m=audio 4000 RTP/AVP {formats}\r\n{attributes}\r\n")));
        assert_eq!(agreed.media.telephone_event, expected, "{formats} {attributes}");
        assert_eq!(text(&agreed.sdp).contains("telephone-event"), expected.is_some());
    }
}

#[test]
fn rfc3264_6_encryption_alone_is_refused_and_beside_plain_rtp_closed() {
    let error = refused(FREESWITCH_SAVP);
    assert_eq!(error, Error::NotPlainRtp("RTP/SAVP".into()));
    assert_eq!(error.sip_status(), 488);
    let agreed = answered(&format!("{FREESWITCH_SAVP}{FREESWITCH_AVP_TOO}"));
    assert_eq!(agreed.media.remote.port(), 16_664);
    assert_eq!(m_lines(&agreed.sdp), ["m=audio 0 RTP/SAVP 0 101", "m=audio 20000 RTP/AVP 0 101"]);
}

#[test]
fn rfc3264_6_every_stream_is_answered_in_its_place() {
    let agreed = answered(&one(
        "m=video 5000 RTP/AVP 96 97\r\na=rtpmap:96 VP8/90000\r\nm=audio 0 RTP/AVP 0\r\nm=audio 4000 RTP/AVP 3\r\n\
         m=audio 4002/2 RTP/AVP 8 0\r\nm=image 4004 udptl t38\r\nm=audio 4006 RTP/AVP 0\r\nm=application 9 UDP/BFCP *\r\n",
    ));
    let expected = [
        "m=video 0 RTP/AVP 96 97",
        "m=audio 0 RTP/AVP 0",
        "m=audio 0 RTP/AVP 3",
        "m=audio 20000 RTP/AVP 8",
        "m=image 0 udptl t38",
        "m=audio 0 RTP/AVP 0",
        "m=application 0 UDP/BFCP *",
    ];
    assert_eq!(m_lines(&agreed.sdp), expected);
    assert_eq!(agreed.media.remote.port(), 4002);
}

#[test]
fn rfc3261_13_3_1_3_what_cannot_be_read_is_400_and_what_cannot_be_taken_488() {
    let long = one(&format!("m=audio 4000 RTP/AVP 0\r\na=x:{}\r\n", "y".repeat(70_000)));
    let cases = [
        (T38.to_owned(), 488, "no audio stream is open, only image"),
        (one("m=audio 0 RTP/AVP 0\r\n"), 488, "no audio stream is open, only audio"),
        (
            one("m=audio 4000 UDP/TLS/RTP/SAVPF 0\r\n"),
            488,
            "no audio over plain RTP, only UDP/TLS/RTP/SAVPF, and srtp is off here",
        ),
        (one("m=audio 4000 RTP/AVP 18 3\r\n"), 488, "no codec in common, theirs are 18 3"),
        (
            one("m=audio 4000 RTP/AVP 0\r\nc=IN IP4 phone.example\r\n"),
            488,
            "connection address \"phone.example\" is not an IP address",
        ),
        ("v=0\r\nm=audio 4000 RTP/AVP 0\r\n".to_owned(), 400, "SDP without a connection address"),
        (one(""), 400, "SDP without any stream"),
        (long, 400, "SDP of 70099 bytes, at most 65536 are read"),
        (one(&"a=x\n".repeat(2_001)), 400, "SDP of more than 2000 lines"),
        (one(&"m=audio 4000 RTP/AVP 0\n".repeat(33)), 400, "SDP of more than 32 streams"),
    ];
    for (offer, status, message) in cases {
        let error = refused(&offer);
        assert_eq!((error.sip_status(), error.to_string().as_str()), (status, message));
    }
    for broken in ["", "hello", "m=audio", "v=1\r\n", "v=0\r\nm=audio 99999 RTP/AVP 0\r\n", "v=0\r\nc=\r\nm=\r\n"] {
        assert_eq!(refused(broken).sip_status(), 400, "{broken:?}");
    }
}

/// What the grammar forbids and the field does.
#[test]
fn rfc8866_5_lines_that_are_missing_or_broken_and_do_not_matter_are_tolerated() {
    let cases = [
        FREESWITCH.replace("\r\n", "\n"),
        FREESWITCH.replace("\r\n", " \r\n"),
        FREESWITCH.replace("s=FreeSWITCH\r\n", ""),
        FREESWITCH.replace("o=FreeSWITCH 1795421179 1795421180 IN IP4 127.0.0.1", "o=broken"),
        FREESWITCH.replace("t=0 0\r\n", "t=\r\nb=AS\r\nk=\r\ni=\r\n"),
        FREESWITCH.replace("a=ptime:20", "a=ptime:\r\na=maxptime:x\r\na=rtcp:\r\na=rtpmap:\r\na=rtpmap:5 x"),
        format!("{FREESWITCH}b=AS:64\r\na=candidate:1 1 UDP 1 10.0.0.1 9 typ host\r\na=setup:actpass\r\na=X-nat:0\r\n"),
        FREESWITCH.replace("s=FreeSWITCH\r\n", "s=\r\nu=\r\ne=\r\np=\r\nr=\r\nz=\r\n"),
        FREESWITCH.replace("t=0 0\r\n", ""),
        FREESWITCH.replace("o=FreeSWITCH 1795421179 1795421180 IN IP4 127.0.0.1\r\n", ""),
        FREESWITCH.replace("m=audio", "a=\r\na=:\r\na=recvonly-x\r\nm=audio"),
        format!("{FREESWITCH}\r\n\r\n"),
    ];
    for offer in cases {
        let agreed = answered(&offer);
        assert_eq!(agreed.media, answered(FREESWITCH).media, "{offer}");
        assert!(!text(&agreed.sdp).contains("mux") && !text(&agreed.sdp).contains("candidate"));
    }
    let mut latin1 = FREESWITCH.as_bytes().to_vec();
    let name = FREESWITCH.find("s=Free").unwrap() + 2;
    latin1[name] = 0xe3;
    assert!(answer(&latin1, &local(), Direction::SendRecv).is_ok());
}

#[test]
fn rfc3605_2_1_and_rfc8866_6_4_rtcp_port_and_packet_length() {
    let cases = [
        ("", "198.51.100.7:4001", 20),
        ("a=rtcp:5005", "198.51.100.7:5005", 20),
        ("a=rtcp:5005 IN IP4 198.51.100.8", "198.51.100.8:5005", 20),
        ("a=rtcp:0", "198.51.100.7:4001", 20),
        ("a=ptime:10", "198.51.100.7:4001", 10),
        ("a=ptime:30", "198.51.100.7:4001", 30),
        ("a=ptime:45", "198.51.100.7:4001", 40),
        ("a=ptime:50", "198.51.100.7:4001", 50),
        ("a=ptime:200", "198.51.100.7:4001", 60),
        ("a=ptime:60\r\na=maxptime:30", "198.51.100.7:4001", 30),
        ("a=maxptime:40", "198.51.100.7:4001", 20),
        ("a=maxptime:15", "198.51.100.7:4001", 10),
        ("a=maxptime:1", "198.51.100.7:4001", 10),
    ];
    for (attribute, rtcp, ptime) in cases {
        let agreed = answered(&one(&format!("m=audio 4000 RTP/AVP 0\r\n{attribute}\r\n")));
        assert_eq!(agreed.media.remote_rtcp, rtcp.parse().unwrap(), "{attribute}");
        assert_eq!(agreed.media.ptime, Duration::from_millis(ptime), "{attribute}");
        assert!(text(&agreed.sdp).contains(&format!("a=ptime:{ptime}\r\n")), "{attribute}");
    }
}

#[test]
fn rfc8866_5_7_the_streams_address_counts_before_the_sessions() {
    let media = answered(&one("m=audio 4000 RTP/AVP 0\r\nc=IN IP4 203.0.113.5/127\r\n")).media;
    assert_eq!(media.remote, "203.0.113.5:4000".parse().unwrap(), "the stream's address, not the session's");
}

const IP6: &str = "v=0\r\no=- 1 1 IN IP6 ::1\r\ns=-\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\nc=IN IP6 2001:db8::7\r\n";

#[test]
fn rfc8866_5_7_an_ip6_offer_is_answered_in_ip6() {
    let local = Local { address: "[2001:db8::9]:20000".parse().unwrap(), ..local() };
    let agreed = answer(IP6.as_bytes(), &local, Direction::SendRecv).unwrap();
    assert_eq!(agreed.media.remote, "[2001:db8::7]:4000".parse().unwrap());
    assert!(text(&agreed.sdp).contains("o=ramal 77 1 IN IP6 2001:db8::9\r\n"));
    assert!(text(&agreed.sdp).contains("c=IN IP6 2001:db8::9\r\n"));
}

#[test]
fn audio_that_our_ip_version_cannot_reach_is_refused_and_a_hold_is_not() {
    let refused = answer(IP6.as_bytes(), &local(), Direction::SendRecv).unwrap_err();
    let (theirs, ours) = ("2001:db8::7".parse().unwrap(), "192.0.2.9".parse().unwrap());
    assert_eq!(refused, Error::OtherIpVersion { theirs, ours });
    assert_eq!(refused.sip_status(), 488);
    let held = IP6.replace("2001:db8::7", "::");
    let media = answer(held.as_bytes(), &local(), Direction::SendRecv).unwrap().media;
    assert!(!media.direction.sends());
}

#[test]
fn the_address_of_the_audio_is_found_before_there_is_an_answer() {
    let cases = [(IP6, Some("2001:db8::7")), (FREESWITCH, Some("127.0.0.1")), (T38, None), ("v=0", None)];
    for (description, address) in cases {
        let expected = address.map(|it| it.parse().unwrap());
        assert_eq!(audio_address(description.as_bytes()), expected, "{description}");
    }
    assert_eq!(audio_address(IP6.replace("2001:db8::7", "::").as_bytes()), None, "hold says nothing of where");
}

/// Broken bytes give an error or an answer, and every answer can be read again with as many streams as the offer.
#[test]
fn broken_bytes_never_panic_and_their_answers_are_answers() {
    let seeds = [FREESWITCH, FREESWITCH_HOLD, FREESWITCH_OPUS, FREESWITCH_SAVP, FREESWITCH_AVP_TOO, T38, ICE];
    let mut state = 0x5eed_u64;
    let mut random = move |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below.max(1)
    };
    let mut understood = 0;
    for _ in 0..20_000 {
        let mut bytes = seeds[random(seeds.len())].as_bytes().to_vec();
        for _ in 0..=random(6) {
            let (at, other) = (random(bytes.len()), seeds[random(seeds.len())].as_bytes());
            match random(5) {
                0 if !bytes.is_empty() => bytes[at] = random(256) as u8,
                1 => bytes.truncate(at),
                2 => bytes.insert(at, b"\r\n\0 /:=9\xff"[random(9)]),
                3 => bytes.extend_from_slice(&other[random(other.len())..]),
                _ => drop(bytes.drain(at..(at + random(40)).min(bytes.len()))),
            }
        }
        let mut negotiation = Negotiation::new(Local { ice: Some(ice::Secret::new([3; 32])), ..local() });
        negotiation.offer(Direction::SendRecv);
        let _ = negotiation.accept(&bytes); // must only not panic
        if let Ok(agreed) = negotiation.answer(&bytes, Direction::SendRecv) {
            understood += 1;
            let (theirs, ours) = (parse::Description::parse(&bytes).unwrap(), parse::Description::parse(&agreed.sdp));
            assert_eq!(ours.unwrap().streams.len(), theirs.streams.len(), "{}", text(&agreed.sdp));
        }
    }
    assert!(understood > 2_000, "only {understood}: the garbage tests nothing beyond the grammar");
}

/// RFC 6716 §2.1.4: Opus frames last 10, 20, 40 or 60 ms.
#[test]
fn rfc8866_6_4_opus_packets_have_a_length_that_opus_has() {
    let local = Local { codecs: vec![Codec::Opus], ..local() };
    for (asked, sent) in [(10, 10), (20, 20), (30, 20), (40, 40), (50, 40), (60, 60), (120, 60), (3, 10)] {
        let offer = one(&format!("m=audio 4000 RTP/AVP 96\r\na=rtpmap:96 opus/48000/2\r\na=ptime:{asked}\r\n"));
        let media = answer(offer.as_bytes(), &local, Direction::SendRecv).unwrap().media;
        assert_eq!(media.ptime, Duration::from_millis(sent), "{asked}");
    }
}

/// 50 ms of L16 at 16 kHz are 1,600 bytes: more than a link takes in one piece.
#[test]
fn rfc8866_6_4_no_packet_of_ours_is_longer_than_a_link_takes() {
    for (codec, asked, sent) in [
        (Codec::L16Wide, 20, 20),
        (Codec::L16Wide, 40, 40),
        (Codec::L16Wide, 50, 40),
        (Codec::L16Wide, 60, 40),
        (Codec::L16Wide, 120, 40),
        (Codec::L16Narrow, 60, 60),
    ] {
        let local = Local { codecs: vec![codec], ..local() };
        let map = format!("a=rtpmap:96 L16/{}", codec.clock_rate());
        let offer = one(&format!("m=audio 4000 RTP/AVP 96\r\n{map}\r\na=ptime:{asked}\r\n"));
        let media = answer(offer.as_bytes(), &local, Direction::SendRecv).unwrap().media;
        assert_eq!((media.codec, media.ptime), (codec, Duration::from_millis(sent)), "{asked}");
    }
}

/// RFC 7587 §6.1: what stands in the offer binds our encoder; another payload type's parameters do not.
#[test]
fn rfc7587_6_1_the_peers_limits_go_with_its_payload_type() {
    let local = Local { codecs: vec![Codec::Opus], ..local() };
    let offer = one("m=audio 4000 RTP/AVP 0 96\r\na=rtpmap:96 opus/48000/2\r\na=fmtp:0 usedtx=1\r\n\
        a=fmtp:96 maxplaybackrate=8000; useinbandfec=1\r\n");
    let media = answer(offer.as_bytes(), &local, Direction::SendRecv).unwrap().media;
    let expected = opus::Receiver { playback_rate: 8_000, repairs: true, ..opus::Receiver::default() };
    assert_eq!(media.opus, expected);
    assert_eq!(answered(FREESWITCH).media.opus, opus::Receiver::default());
}

#[test]
fn rfc3264_6_1_our_own_order_may_choose() {
    let offer = one("m=audio 4000 RTP/AVP 0 8 9\r\n");
    for (preference, codec) in [(Preference::Theirs, Codec::Pcmu), (Preference::Ours, Codec::G722)] {
        let local = Local { codecs: vec![Codec::G722, Codec::Pcma, Codec::Pcmu], preference, ..local() };
        let agreed = answer(offer.as_bytes(), &local, Direction::SendRecv).unwrap();
        assert_eq!(agreed.media.codec, codec);
        assert_eq!(m_lines(&agreed.sdp).len(), 1);
        // To our own offer the answerer's order counts.
        let mut negotiation = Negotiation::new(local);
        assert!(text(&negotiation.offer(Direction::SendRecv)).contains("RTP/AVP 9 8 0 "));
        assert_eq!(negotiation.accept(offer.as_bytes()).unwrap().codec, Codec::Pcmu);
    }
}
