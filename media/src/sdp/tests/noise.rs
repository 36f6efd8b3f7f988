//! Comfort noise in descriptions (RFC 3389 §4, RFC 3551 §6).
use super::*;

fn with(comfort_noise: ComfortNoise, codecs: &[Codec]) -> Local {
    Local { comfort_noise, codecs: codecs.to_vec(), ..local() }
}

#[test]
fn rfc3389_4_noise_is_answered_at_the_clock_of_the_codec_and_unless_it_is_off() {
    use ComfortNoise::{Heard, Off, Sent};
    let narrow = "m=audio 4000 RTP/AVP 0 13 101\r\na=rtpmap:13 CN/8000\r\na=rtpmap:101 telephone-event/8000\r\n";
    let bare = "m=audio 4000 RTP/AVP 0 13\r\n";
    let wide = "m=audio 4000 RTP/AVP 96 13 98\r\na=rtpmap:96 L16/16000\r\na=rtpmap:98 cn/16000\r\n";
    let other_clock = "m=audio 4000 RTP/AVP 96 13\r\na=rtpmap:96 L16/16000\r\n";
    let opus = "m=audio 4000 RTP/AVP 96 97\r\na=rtpmap:96 opus/48000/2\r\na=rtpmap:97 CN/48000\r\n";
    let g722 = "m=audio 4000 RTP/AVP 9 13\r\n";
    let none = "m=audio 4000 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n";
    let codecs = [Codec::Pcmu, Codec::L16Wide, Codec::Opus, Codec::G722];
    let cases = [
        (narrow, Heard, Some((13, false)), "0 101 13", Some("13 CN/8000")),
        (narrow, Sent, Some((13, true)), "0 101 13", Some("13 CN/8000")),
        (narrow, Off, None, "0 101", None),
        (bare, Heard, Some((13, false)), "0 13", Some("13 CN/8000")),
        (wide, Heard, Some((98, false)), "96 98", Some("98 CN/16000")),
        (other_clock, Heard, None, "96", None),
        (opus, Heard, None, "96", None),
        (g722, Heard, Some((13, false)), "9 13", Some("13 CN/8000")),
        (none, Sent, None, "0 101", None),
    ];
    for (offer, policy, expected, formats, mapped) in cases {
        let agreed = answer(one(offer).as_bytes(), &with(policy, &codecs), Direction::SendRecv).unwrap();
        let found = agreed.media.comfort_noise.map(|noise| (noise.payload_type.received, noise.sent));
        assert_eq!(found, expected, "{offer}");
        assert_eq!(m_lines(&agreed.sdp), [format!("m=audio 20000 RTP/AVP {formats}")]);
        let maps = values(&agreed.sdp, "rtpmap");
        assert_eq!(maps.into_iter().find(|map| map.contains("CN/")), mapped, "{offer}");
    }
}

#[test]
fn rfc3264_5_1_we_offer_noise_only_to_send_it_and_may_only_if_it_is_answered() {
    let offers = |policy, codecs: &[Codec]| {
        let sdp = Negotiation::new(with(policy, codecs)).offer(Direction::SendRecv);
        values(&sdp, "rtpmap").iter().any(|map| map.contains("CN/"))
    };
    assert!(!offers(ComfortNoise::Off, &[Codec::Pcmu]) && !offers(ComfortNoise::Heard, &[Codec::Pcmu]));
    assert!(offers(ComfortNoise::Sent, &[Codec::Opus, Codec::Pcmu]) && !offers(ComfortNoise::Sent, &[Codec::Opus]));
    for (answered, expected) in [("0 13", Some((13, 13))), ("0", None)] {
        let mut negotiation = Negotiation::new(with(ComfortNoise::Sent, &[Codec::Pcmu]));
        negotiation.offer(Direction::SendRecv);
        let media = negotiation.accept(one(&format!("m=audio 4000 RTP/AVP {answered}\r\n")).as_bytes()).unwrap();
        let found = media.comfort_noise.map(|noise| (noise.payload_type.sent, noise.payload_type.received));
        assert_eq!(found, expected);
    }
    let mut heard = Negotiation::new(with(ComfortNoise::Heard, &[Codec::Pcmu]));
    heard.offer(Direction::SendRecv);
    let media = heard.accept(one("m=audio 4000 RTP/AVP 0 13\r\n").as_bytes()).unwrap();
    assert_eq!(media.comfort_noise, None, "what was not offered");
}
