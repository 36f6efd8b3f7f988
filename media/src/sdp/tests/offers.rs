//! Offers of ours and what is made of their answers, re-offers, and the version of what we send.
use super::*;

fn both() -> Local {
    Local { codecs: vec![Codec::Pcmu, Codec::Opus], ..local() }
}

/// An answer of one stream with these lines.
fn accepted(local: Local, answer: &str) -> Result<Negotiated, Error> {
    let mut negotiation = Negotiation::new(local);
    negotiation.offer(Direction::SendRecv);
    negotiation.accept(one(answer).as_bytes())
}

fn version(sdp: &[u8]) -> &str {
    text(sdp).lines().nth(1).unwrap().split(' ').nth(2).unwrap()
}

#[test]
fn rfc3264_5_1_our_offer_has_every_codec_and_events_at_the_clock_of_each() {
    let expected = "v=0\r\no=ramal 77 1 IN IP4 192.0.2.9\r\ns=ramal\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n\
        m=audio 20000 RTP/AVP 0 96 101 102\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:96 opus/48000/2\r\n\
        a=fmtp:96 maxplaybackrate=24000;sprop-maxcapturerate=24000;useinbandfec=1\r\n\
        a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=rtpmap:102 telephone-event/48000\r\n\
        a=fmtp:102 0-15\r\na=ptime:20\r\na=sendrecv\r\n";
    assert_eq!(text(&Negotiation::new(both()).offer(Direction::SendRecv)), expected);
}

#[test]
fn rfc4733_2_1_whatever_the_codec_its_clock_has_events() {
    for (codec, clock) in
        [(Codec::G722, 8_000), (Codec::L16Narrow, 8_000), (Codec::L16Wide, 16_000), (Codec::Opus, 48_000)]
    {
        let local = Local { codecs: vec![codec], ..local() };
        let offer = text(&Negotiation::new(local).offer(Direction::SendRecv)).to_owned();
        assert!(offer.contains(&format!(" telephone-event/{clock}\r\n")), "{codec:?}: {offer}");
    }
}

/// What we write, we read: our offer answered by ourselves settles the same on both sides.
#[test]
fn rfc3264_both_sides_agree() {
    for codecs in [vec![Codec::Pcmu], vec![Codec::Pcma, Codec::Pcmu], vec![Codec::Opus, Codec::Pcma]] {
        for wanted in [Direction::SendRecv, Direction::SendOnly, Direction::RecvOnly, Direction::Inactive] {
            let caller = Local { codecs: codecs.clone(), address: "192.0.2.1:7000".parse().unwrap(), ..local() };
            let callee = Local { codecs: vec![Codec::Pcmu, Codec::Pcma, Codec::Opus], ..local() };
            let mut calling = Negotiation::new(caller.clone());
            let agreed = answer(&calling.offer(wanted), &callee, Direction::SendRecv).unwrap();
            let back = calling.accept(&agreed.sdp).unwrap();
            assert_eq!(back.codec, agreed.media.codec);
            assert_eq!(back.payload_type, agreed.media.payload_type);
            assert_eq!(back.telephone_event, agreed.media.telephone_event);
            assert_eq!(back.direction, agreed.media.direction.reversed());
            assert_eq!((back.remote, agreed.media.remote), (callee.address, caller.address));
        }
    }
}

/// RFC 3264 §6.1, §7: the first format of the answer that we offered, sent under the peer's number, received under ours.
#[test]
fn rfc3264_6_1_an_answer_may_move_payload_types_and_list_what_we_did_not_offer() {
    let opus = |sent| Some((Codec::Opus, PayloadType { sent, received: 96 }));
    let pcmu = |sent| Some((Codec::Pcmu, PayloadType { sent, received: 0 }));
    let cases = [
        ("96", "a=rtpmap:96 opus/48000/2", opus(96)),
        ("116", "a=rtpmap:116 opus/48000/2", opus(116)),
        // The number we gave to an event, moved.
        ("101", "a=rtpmap:101 opus/48000/2", opus(101)),
        ("97", "a=rtpmap:97 PCMU/8000", pcmu(97)),
        // Mappings left out are those of our offer.
        ("96", "", opus(96)),
        ("0", "", pcmu(0)),
        // More than one, and more than we offered: the first that we offered.
        ("0 96 101", "a=rtpmap:96 opus/48000/2", pcmu(0)),
        ("8 9 102 0", "a=rtpmap:102 opus/48000/2", opus(102)),
        ("8 18", "a=rtpmap:8 PCMA/8000", None),
        ("102", "", None),
    ];
    for (formats, attributes, expected) in cases {
        let media = accepted(both(), &format!("m=audio 4000 RTP/AVP {formats}\r\n{attributes}\r\n"));
        match (expected, media) {
            (Some(expected), Ok(media)) => assert_eq!((media.codec, media.payload_type), expected, "{formats}"),
            (None, Err(Error::NoCommonCodec(_))) => {}
            (expected, media) => panic!("{formats}: {media:?}, not {expected:?}"),
        }
    }
}

#[test]
fn rfc4733_an_answer_takes_events_at_one_of_our_clocks_under_its_own_number() {
    let at = |sent, received, clock| Some(TelephoneEvent { payload_type: PayloadType { sent, received }, clock });
    let cases = [
        ("0 101", "a=rtpmap:101 telephone-event/8000", at(101, 101, 8_000)),
        ("0 101", "", at(101, 101, 8_000)),
        ("0 98", "a=rtpmap:98 telephone-event/8000", at(98, 101, 8_000)),
        ("96 98 99", "a=rtpmap:98 telephone-event/8000\r\na=rtpmap:99 telephone-event/48000", at(99, 102, 48_000)),
        ("96 98", "a=rtpmap:98 telephone-event/8000", at(98, 101, 8_000)),
        // At a clock that we did not offer: not ours to send.
        ("0 98", "a=rtpmap:98 telephone-event/16000", None),
        ("0", "", None),
    ];
    for (formats, attributes, expected) in cases {
        let media = accepted(both(), &format!("m=audio 4000 RTP/AVP {formats}\r\n{attributes}\r\n")).unwrap();
        assert_eq!(media.telephone_event, expected, "{formats} {attributes}");
    }
}

/// The first is that of the codec we send; the peer sends others where it turns to another codec (RFC 3264 §7).
#[test]
fn rfc4733_2_1_events_of_an_answer_at_several_clocks_may_all_come() {
    let at = |sent, received, clock| TelephoneEvent { payload_type: PayloadType { sent, received }, clock };
    let events = "a=rtpmap:98 telephone-event/8000\r\na=rtpmap:99 telephone-event/48000";
    let (narrow, wide) = (at(98, 101, 8_000), at(99, 102, 48_000));
    for (formats, first, other) in [("96 0 98 99", wide, narrow), ("0 96 98 99", narrow, wide)] {
        let media = accepted(both(), &format!("m=audio 4000 RTP/AVP {formats}\r\n{events}\r\n")).unwrap();
        assert_eq!((media.telephone_event, &media.other_events[..]), (Some(first), &[other][..]), "{formats}");
    }
    let offer = one(&format!("m=audio 4000 RTP/AVP 0 98 99\r\n{events}\r\n"));
    let agreed = answer(offer.as_bytes(), &both(), Direction::SendRecv).unwrap();
    let kept = (agreed.media.telephone_event, &agreed.media.other_events[..]);
    assert_eq!(kept, (Some(event(98, 8_000)), &[][..]), "an answer of ours has one");
}

/// Numbers are looked up in the mappings one by one: 20,000 of them in 2,000 lines would take the time of other calls. And
/// what is agreed twice would stand twice in our next offer.
#[test]
fn a_payload_type_that_is_named_again_says_nothing_new() {
    let mut negotiation = Negotiation::new(Local { codecs: vec![Codec::G722, Codec::Pcmu], ..local() });
    negotiation.offer(Direction::SendRecv);
    let answer = one("m=audio 4000 RTP/AVP 9 0 101 0 9 101\r\na=rtpmap:101 telephone-event/8000\r\n");
    let media = negotiation.accept(answer.as_bytes()).unwrap();
    assert_eq!((media.codec, &media.others[..]), (Codec::G722, &[(0, Codec::Pcmu)][..]));
    assert_eq!((media.telephone_event, &media.other_events[..]), (Some(event(101, 8_000)), &[][..]));
    assert_eq!(m_lines(&negotiation.offer(Direction::SendRecv)), ["m=audio 20000 RTP/AVP 9 0 101"]);
}

#[test]
fn rfc3264_8_3_2_all_events_that_were_agreed_on_keep_their_numbers_in_our_next_offer() {
    let mut negotiation = Negotiation::new(both());
    let offer = one("m=audio 4000 RTP/AVP 0 100\r\na=rtpmap:100 telephone-event/8000\r\n");
    negotiation.answer(offer.as_bytes(), Direction::SendRecv).unwrap();
    assert_eq!(m_lines(&negotiation.offer(Direction::SendRecv)), ["m=audio 20000 RTP/AVP 0 96 100 102"]);
    negotiation.accept(one("m=audio 4000 RTP/AVP 96 0 102 100\r\n").as_bytes()).unwrap();
    assert_eq!(m_lines(&negotiation.offer(Direction::SendRecv)), ["m=audio 20000 RTP/AVP 96 0 102 100"]);
}

/// RFC 3264 §6.1: an answer cannot ask for more than was offered.
#[test]
fn rfc3264_6_1_the_answer_to_our_hold_leaves_us_sending_at_most() {
    for (answer, expected) in [
        ("a=recvonly", Direction::SendOnly),
        ("", Direction::SendOnly),
        ("a=sendrecv", Direction::SendOnly),
        ("a=inactive", Direction::Inactive),
        ("a=sendonly", Direction::Inactive),
    ] {
        let mut negotiation = Negotiation::new(local());
        negotiation.offer(Direction::SendOnly);
        let media = negotiation.accept(one(&format!("m=audio 4000 RTP/AVP 8\r\n{answer}\r\n")).as_bytes()).unwrap();
        assert_eq!(media.direction, expected, "{answer}");
    }
}

#[test]
fn rfc3264_7_an_answer_that_refuses_the_stream_or_that_nobody_asked_for_settles_nothing() {
    assert_eq!(accepted(both(), "m=audio 0 RTP/AVP 0\r\n"), Err(Error::NoAudio("audio".into())));
    let mut negotiation = Negotiation::new(both());
    let answer = one("m=audio 4000 RTP/AVP 0\r\n");
    assert_eq!(negotiation.accept(answer.as_bytes()), Err(Error::NotOffered));
    negotiation.offer(Direction::SendRecv);
    assert!(negotiation.accept(answer.as_bytes()).is_ok());
    assert_eq!(negotiation.accept(answer.as_bytes()), Err(Error::NotOffered), "one offer, one answer");
}

#[test]
fn rfc5761_5_1_1_an_answer_cannot_agree_to_what_was_not_offered() {
    let media = accepted(both(), "m=audio 4000 RTP/AVP 0\r\na=rtcp-mux\r\n").unwrap();
    assert_eq!((media.rtcp_mux, media.remote_rtcp.port()), (false, 4001));
}

/// RFC 3264 §8: the number of m-lines never decreases, and each keeps its place.
#[test]
fn rfc3264_8_our_next_offer_has_every_stream_of_the_peers_in_its_place() {
    let mut negotiation = Negotiation::new(local());
    let offer = format!("{FREESWITCH_SAVP}{FREESWITCH_AVP_TOO}m=image 4004 udptl t38\r\n");
    let first = negotiation.answer(offer.as_bytes(), Direction::SendRecv).unwrap();
    let ours = ["m=audio 0 RTP/SAVP 0 101", "m=audio 20000 RTP/AVP 0 101", "m=image 0 udptl t38"];
    assert_eq!(m_lines(&first.sdp), ours);
    let again = negotiation.offer(Direction::SendOnly);
    assert_eq!(m_lines(&again), ["m=audio 0 RTP/SAVP 0 101", "m=audio 20000 RTP/AVP 0 8 101", "m=image 0 udptl t38"]);
    assert!(text(&again).contains("a=sendonly\r\n"));
    let answer = one("m=audio 0 RTP/SAVP 0\r\nm=audio 16664 RTP/AVP 0 101\r\na=recvonly\r\nm=image 0 udptl t38\r\n");
    let held = negotiation.accept(answer.as_bytes()).unwrap();
    assert_eq!((held.direction, held.remote.port()), (Direction::SendOnly, 16_664));
    assert_eq!(m_lines(&negotiation.offer(Direction::SendRecv)).len(), 3);
}

/// RFC 3264 §8.1, §8.2: a stream is added at the end, and a closed one keeps its line.
#[test]
fn rfc3264_8_1_and_8_2_streams_come_and_go_in_their_places() {
    let mut negotiation = Negotiation::new(local());
    let audio = "m=audio 4000 RTP/AVP 0\r\n";
    negotiation.answer(one(audio).as_bytes(), Direction::SendRecv).unwrap();
    let added = negotiation.answer(one(&format!("{audio}m=video 4002 RTP/AVP 99\r\n")).as_bytes(), Direction::SendRecv);
    assert_eq!(m_lines(&added.unwrap().sdp), ["m=audio 20000 RTP/AVP 0", "m=video 0 RTP/AVP 99"]);
    assert_eq!(m_lines(&negotiation.offer(Direction::SendRecv))[1], "m=video 0 RTP/AVP 99");
    let moved = one("m=audio 0 RTP/AVP 0\r\nm=audio 4006 RTP/AVP 0\r\n");
    let moved = negotiation.answer(moved.as_bytes(), Direction::SendRecv).unwrap();
    assert_eq!(m_lines(&moved.sdp), ["m=audio 0 RTP/AVP 0", "m=audio 20000 RTP/AVP 0"]);
    let closed = one("m=audio 0 RTP/AVP 0\r\nm=audio 0 RTP/AVP 0\r\n");
    assert_eq!(negotiation.answer(closed.as_bytes(), Direction::SendRecv).unwrap_err().sip_status(), 488);
    assert!(m_lines(&negotiation.offer(Direction::SendRecv))[1].starts_with("m=audio 20000"), "and nothing changed");
}

/// RFC 3264 §8.3.2: a number keeps its meaning; RFC 3261 §14.2: an offer asked of us shows all we can.
#[test]
fn rfc3264_8_3_2_our_next_offer_keeps_the_agreed_numbers_and_gives_others_to_the_rest() {
    let mut negotiation = Negotiation::new(Local { codecs: vec![Codec::Opus, Codec::Pcmu, Codec::Pcma], ..local() });
    let offer = one(
        "m=audio 4000 RTP/AVPF 97 96 0\r\na=rtpmap:97 PCMA/8000\r\na=rtpmap:96 telephone-event/8000\r\na=maxptime:10\r\n",
    );
    negotiation.answer(offer.as_bytes(), Direction::SendRecv).unwrap();
    let again = negotiation.offer(Direction::SendRecv);
    assert_eq!(m_lines(&again), ["m=audio 20000 RTP/AVPF 97 98 0 96 102"]);
    for line in ["rtpmap:97 PCMA/8000", "rtpmap:98 opus/48000/2", "rtpmap:96 telephone-event/8000", "ptime:10"] {
        assert!(text(&again).contains(&format!("a={line}\r\n")), "{line} in {}", text(&again));
    }
    let answer = one("m=audio 4000 RTP/AVPF 98 102\r\na=rtpmap:98 opus/48000/2\r\n");
    let media = negotiation.accept(answer.as_bytes()).unwrap();
    assert_eq!((media.codec, media.payload_type), (Codec::Opus, PayloadType::same(98)));
    assert_eq!(media.telephone_event, Some(event(102, 48_000)));
}

/// RFC 3264 §8: the version goes up by exactly one when anything differs, and not otherwise.
#[test]
fn rfc3264_8_the_version_goes_up_by_one_when_our_description_changes_and_only_then() {
    let mut negotiation = Negotiation::new(local());
    let mut say = |offer: &str| negotiation.answer(offer.as_bytes(), Direction::SendRecv).map(|agreed| agreed.sdp);
    let first = say(FREESWITCH).unwrap();
    assert_eq!(version(&first), "1");
    // A session refresh: FreeSWITCH says the same again, under a higher version of its own or not.
    assert_eq!(say(FREESWITCH).unwrap(), first);
    assert_eq!(say(&FREESWITCH.replace("1795421180", "1795421181")).unwrap(), first);
    assert_eq!(say(&FREESWITCH.replace("17058", "17060")).unwrap(), first, "the peer moved, we did not");
    assert_eq!(version(&say(FREESWITCH_HOLD).unwrap()), "2");
    assert_eq!(version(&say(FREESWITCH_HOLD).unwrap()), "2");
    assert!(say(T38).is_err());
    assert_eq!(version(&say(FREESWITCH).unwrap()), "3", "a refused offer takes no version");
    let offer = negotiation.offer(Direction::SendRecv);
    assert_eq!(version(&offer), "4", "PCMA is offered again");
    assert_eq!(negotiation.offer(Direction::SendRecv), offer);
    let hold = negotiation.offer(Direction::SendOnly);
    assert_eq!(version(&hold), "5");
    assert!(text(&hold).starts_with("v=0\r\no=ramal 77 5 IN IP4 192.0.2.9\r\n"), "the rest of the origin stays");
}

/// RFC 3264 §7: whoever answers with several may send any of them, under the numbers of our offer.
#[test]
fn rfc3264_7_of_several_codecs_in_an_answer_the_first_is_sent_and_all_may_come() {
    let local = Local { codecs: vec![Codec::Pcmu, Codec::G722, Codec::Opus], ..local() };
    let media = accepted(local.clone(), "m=audio 4000 RTP/AVP 9 116 0 18\r\na=rtpmap:116 opus/48000/2\r\n").unwrap();
    assert_eq!((media.codec, media.payload_type), (Codec::G722, PayloadType::same(9)));
    assert_eq!(media.others, [(96, Codec::Opus), (0, Codec::Pcmu)]);
    let offer = one("m=audio 4000 RTP/AVP 9 0\r\n");
    let agreed = answer(offer.as_bytes(), &local, Direction::SendRecv).unwrap();
    assert_eq!((agreed.media.codec, &agreed.media.others[..]), (Codec::G722, &[][..]), "an answer of ours has one");
}
