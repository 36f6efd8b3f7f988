//! What holds for every offer and answer, on random ones.
use super::*;
use crate::testing::Random;

fn pick<'a>(random: &mut Random, from: &[&'a str]) -> &'a str {
    from[random.below(from.len() as u64) as usize]
}

/// A random offer that keeps to the grammar.
fn offer(random: &mut Random) -> String {
    let mut sdp = "v=0\r\no=- 1 1 IN IP4 198.51.100.7\r\ns=-\r\nc=IN IP4 198.51.100.7\r\nt=0 0\r\n".to_owned();
    for attribute in ["a=sendonly\r\n", "a=inactive\r\n", "a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n"] {
        if random.chance(15) {
            sdp.push_str(attribute);
        }
    }
    for _ in 0..=random.below(4) {
        let media = pick(random, &["audio", "audio", "audio", "video", "image", "application"]);
        let proto = pick(random, &["RTP/AVP", "RTP/AVP", "RTP/AVPF", "RTP/SAVP", "UDP/TLS/RTP/SAVPF"]);
        let port = pick(random, &["4000", "4000", "4002", "0"]);
        let mut formats: Vec<&str> = Vec::new();
        for _ in 0..=random.below(5) {
            let format = pick(random, &["0", "8", "9", "18", "13", "96", "97", "101", "110", "116"]);
            if !formats.contains(&format) {
                formats.push(format);
            }
        }
        sdp.push_str(&format!("m={media} {port} {proto} {}\r\n", formats.join(" ")));
        for format in formats.iter().filter(|format| format.len() > 1) {
            let encodings = ["opus/48000/2", "PCMA/8000", "telephone-event/8000", "telephone-event/48000", "G729/8000"];
            sdp.push_str(&format!("a=rtpmap:{format} {}\r\n", pick(random, &encodings)));
        }
        let attributes = [
            "a=sendrecv",
            "a=sendonly",
            "a=recvonly",
            "a=inactive",
            "a=rtcp-mux",
            "a=ptime:30",
            "a=maxptime:10",
            "c=IN IP4 0.0.0.0",
            "a=candidate:1 1 UDP 1 198.51.100.7 4000 typ host",
        ];
        for attribute in attributes {
            if random.chance(20) {
                sdp.push_str(&format!("{attribute}\r\n"));
            }
        }
    }
    sdp
}

/// Media, port, protocol and formats of each `m=` line.
fn lines(sdp: &str) -> Vec<(&str, u16, &str, Vec<&str>)> {
    let streams = sdp.lines().filter_map(|line| line.strip_prefix("m="));
    let words = streams.map(|stream| stream.split(' ').collect::<Vec<_>>());
    words.map(|words| (words[0], words[1].parse().unwrap(), words[2], words[3..].to_vec())).collect()
}

/// RFC 3264 §6: as many streams, in their order, with their media and protocol, formats among those offered, at most
/// one open, and none that was offered closed; then the next answer and our own offers keep all of that.
#[test]
fn rfc3264_6_an_answer_contains_exactly_what_was_offered() {
    let mut random = Random::new(3_264);
    let (mut answered, mut kept) = (0, 0);
    for _ in 0..5_000 {
        let offer = offer(&mut random);
        let codecs = vec![Codec::Opus, Codec::Pcmu, Codec::Pcma];
        let mut negotiation = Negotiation::new(Local { codecs, ice: Some(ice::Secret::new([1; 32])), ..local() });
        let Ok(agreed) = negotiation.answer(offer.as_bytes(), Direction::SendRecv) else { continue };
        answered += 1;
        let answer = text(&agreed.sdp);
        let (theirs, ours) = (lines(&offer), lines(answer));
        assert_eq!(theirs.len(), ours.len(), "{offer}{answer}");
        for (theirs, ours) in theirs.iter().zip(&ours) {
            assert_eq!((theirs.0, theirs.2), (ours.0, ours.2), "{offer}{answer}");
            assert!(ours.3.iter().all(|format| theirs.3.contains(format)), "{offer}{answer}");
            assert!(ours.1 == 0 || theirs.1 != 0, "{offer}{answer}");
        }
        assert_eq!(ours.iter().filter(|stream| stream.1 != 0).count(), 1, "{offer}{answer}");
        assert!(!answer.contains("rtcp-mux") || offer.contains("rtcp-mux"), "{offer}{answer}");
        assert!(!answer.contains("ice-lite") || offer.contains("ice-ufrag"), "{offer}{answer}");
        let mapped = answer.lines().filter(|line| line.starts_with("a=rtpmap:") && line.len() > 14);
        for line in mapped.filter(|line| !line.starts_with("a=rtpmap:0 ") && !line.starts_with("a=rtpmap:8 ")) {
            let same = offer.to_ascii_lowercase().contains(&line.to_ascii_lowercase());
            assert!(same, "{line}: a number keeps its meaning\n{offer}{answer}");
        }
        // RFC 3264 §8: what we offer next has the same streams, and the peer can answer it as it answers anyone.
        let next = negotiation.offer(Direction::SendRecv);
        let places = |sdp: &[u8]| -> Vec<(String, bool)> {
            lines(text(sdp)).iter().map(|stream| (format!("{} {}", stream.0, stream.2), stream.1 == 0)).collect()
        };
        assert_eq!(places(&next), places(&agreed.sdp), "{offer}{answer}{}", text(&next));
        let peer = Local { address: "198.51.100.7:4000".parse().unwrap(), codecs: Codec::ALL.to_vec(), ..local() };
        if let Ok(back) = super::answer(&next, &peer, Direction::SendRecv) {
            let media = negotiation.accept(&back.sdp).unwrap();
            assert_eq!(media.codec, agreed.media.codec, "what was agreed comes first\n{}", text(&next));
            assert_eq!(media.payload_type, agreed.media.payload_type);
            kept += 1;
        }
    }
    assert!(answered > 1_500 && kept == answered, "{answered} answered, {kept} kept");
}
