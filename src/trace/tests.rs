use super::{
    hep::Identity,
    ladder::{Detail, Ladder, View},
    *,
};
use crate::paint::Paint;
use chrono::FixedOffset;
use std::collections::BTreeMap;
use uuid::Uuid;

const US: &str = "127.0.0.1:5070";
const PBX: &str = "192.0.2.1:5060";

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn seen(at_ms: u64, direction: Direction, bytes: &[u8]) -> Seen<'_> {
    let (local, remote) = (address(US), address(PBX));
    Seen { at: 1_790_000_000_000_000 + at_ms * 1_000, direction, carrier: Carrier::Udp, local, remote, bytes }
}

fn message(first: &str, call_id: &str, cseq: &str, more: &str, body: &str) -> String {
    format!(
        "{first}\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\nFrom: <sip:1001@pbx.example>;tag=a\r\n\
         To: <sip:8000@pbx.example>\r\nCall-ID: {call_id}\r\nCSeq: {cseq}\r\n{more}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn request(method: &str, call_id: &str) -> String {
    message(&format!("{method} sip:8000@127.0.0.1:5070 SIP/2.0"), call_id, &format!("1 {method}"), "", "")
}

fn response(status: &str, method: &str, call_id: &str) -> String {
    message(&format!("SIP/2.0 {status}"), call_id, &format!("1 {method}"), "", "")
}

/// A store and what has been put in, numbered.
struct Shelf {
    traces: Traces,
    last: u64,
}

impl Shelf {
    fn new(calls: usize, bytes: usize) -> Self {
        Self { traces: Traces::new(Limits { calls, bytes }), last: 0 }
    }

    fn put(&mut self, direction: Direction, text: &str) {
        self.last += 1;
        let (entry, sniffed) = Entry::capture(&seen(self.last, direction, text.as_bytes()), self.last).unwrap();
        self.traces.keep(entry, sniffed);
    }

    /// A call that was answered.
    fn answered(&mut self, call_id: &str) {
        self.put(Direction::In, &request("INVITE", call_id));
        self.put(Direction::Out, &response("200 OK", "INVITE", call_id));
    }

    fn hung_up(&mut self, call_id: &str) {
        self.answered(call_id);
        self.put(Direction::In, &request("BYE", call_id));
    }

    fn kept(&self) -> Vec<String> {
        self.traces.summaries().iter().map(|summary| summary.first.call_id.to_string()).collect()
    }
}

#[test]
fn the_call_id_is_found_in_every_spelling() {
    let invite = Sniffed { method: Method::Invite, status: None };
    let table: [(&str, Option<(&str, Sniffed)>); 12] = [
        ("INVITE sip:a SIP/2.0\r\nCall-ID: x@y\r\nCSeq: 1 INVITE\r\n\r\n", Some(("x@y", invite))),
        ("INVITE sip:a SIP/2.0\r\nCALL-id : x\r\n\r\n", Some(("x", invite))),
        ("INVITE sip:a SIP/2.0\ni:x\n\n", Some(("x", invite))),
        ("INVITE sip:a SIP/2.0\r\nI:\r\n x\r\n\r\n", Some(("x", invite))),
        ("INVITE sip:a SIP/2.0\r\nSubject: y\r\n Call-ID: no\r\ni: x\r\n\r\n", Some(("x", invite))),
        (
            "SIP/2.0 487 Gone\r\nCSeq: 9 \t INVITE\r\nCall-ID: x\r\n\r\n",
            Some(("x", Sniffed { method: Method::Invite, status: Some(487) })),
        ),
        ("PING sip:a SIP/2.0\r\ni: x\r\n\r\n", Some(("x", Sniffed { method: Method::Other, status: None }))),
        ("INVITE sip:a SIP/2.0\r\nCSeq: 1 INVITE\r\n\r\nCall-ID: body\r\n", None),
        ("INVITE sip:a SIP/2.0\r\nCall-ID:\r\n\r\n", None),
        ("GET / HTTP/1.1\r\nCall-ID: x\r\n\r\n", None),
        ("SIP/2.0 2\r\ni: x\r\n\r\n", None),
        ("", None),
    ];
    for (text, want) in table {
        assert_eq!(sniff::sniff(text.as_bytes()), want, "{text:?}");
    }
    let long = format!("INVITE sip:a SIP/2.0\r\ni: {}\r\n\r\n", "x".repeat(257));
    assert_eq!(sniff::sniff(long.as_bytes()), None);
}

#[test]
fn secrets_are_stars_and_nothing_else_moves() {
    let table = [
        (
            "Authorization: Digest username=\"2000\", uri=\"sip:x\", response=\"6629fae4\", cnonce=\"0a4f\"",
            "Authorization: Digest username=\"2000\", uri=\"sip:x\", response=\"********\", cnonce=\"0a4f\"",
        ),
        (
            "proxy-AUTHORIZATION : digest Response = 66ab,qop=auth",
            "proxy-AUTHORIZATION : digest Response = ****,qop=auth",
        ),
        (
            "Authorization: Digest a=\"response=\\\"1\",\r\n response=\"22\"",
            "Authorization: Digest a=\"response=\\\"1\",\r\n response=\"**\"",
        ),
        ("Authorization: Digest response=\"unending", "Authorization: Digest response=\"********"),
        ("Authorization: Basic dXNlcg==", "Authorization: Basic ********"),
        ("Authentication-Info: rspauth=\"77\", nc=1", "Authentication-Info: rspauth=\"**\", nc=1"),
        ("WWW-Authenticate: Digest nonce=\"response=1\"", "WWW-Authenticate: Digest nonce=\"response=1\""),
        ("Subject: response=\"1\"", "Subject: response=\"1\""),
        ("X: 1\r\n\r\nSignal= 5\r\nDuration=160\r\n", "X: 1\r\n\r\nSignal= *\r\nDuration=160\r\n"),
        ("X: 1\r\n\r\n signal=5\r\n", "X: 1\r\n\r\n signal=*\r\n"),
        ("Content-Type: application/dtmf\r\n\r\n11\r\n", "Content-Type: application/dtmf\r\n\r\n**\r\n"),
        ("c:Application/DTMF;x=1\r\n\r\n5", "c:Application/DTMF;x=1\r\n\r\n*"),
        ("CSeq: 5 INFO\r\nContent-Type: text/plain\r\n\r\n5", "CSeq: 5 INFO\r\nContent-Type: text/plain\r\n\r\n5"),
        ("X: 1\r\n\r\na=crypto:1 AES_CM_128 inline:WVNf|2^20", "X: 1\r\n\r\na=crypto:1 AES_CM_128 inline:*********"),
        ("X: 1\r\n\r\nA=ICE-PWD:secret\r\na=ice-ufrag:x", "X: 1\r\n\r\nA=ICE-PWD:secret\r\na=ice-ufrag:x"),
        (
            "X: 1\r\n\r\na=ice-pwd:secret\r\nk=clear:key\r\nk=prompt",
            "X: 1\r\n\r\na=ice-pwd:******\r\nk=clear:***\r\nk=prompt",
        ),
        ("X: 1\r\n\r\na=key-mgmt:mikey AQAF\r\n", "X: 1\r\n\r\na=key-mgmt:mikey ****\r\n"),
    ];
    for (text, want) in table {
        let mut bytes = format!("REGISTER sip:x SIP/2.0\r\n{text}\r\n").into_bytes();
        secrets::mask(&mut bytes);
        assert_eq!(String::from_utf8(bytes).unwrap(), format!("REGISTER sip:x SIP/2.0\r\n{want}\r\n"));
    }
}

#[test]
fn no_bytes_make_it_panic_or_change_their_length() {
    let whole = message(
        "INVITE sip:a SIP/2.0",
        "x",
        "1 INVITE",
        "Authorization: Digest response=\"\\\"1\"\r\n , response=2\r\n",
        "v=0\r\na=crypto:1 X inline:abc\r\nk=clear:\r\n",
    );
    let mut seed = 1_u64;
    for round in 0..20_000 {
        let mut bytes = whole.clone().into_bytes();
        for _ in 0..round % 8 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let at = (seed >> 33) as usize % bytes.len();
            bytes[at] = b"\r\n :=\",;a\0\xff"[(seed >> 20) as usize % 11];
        }
        bytes.truncate(bytes.len() - (round % 97).min(bytes.len()));
        if let Some((entry, _)) = Entry::capture(&seen(0, Direction::In, &bytes), 1) {
            assert_eq!(entry.bytes.len(), bytes.len());
            let trace = Trace { summary: summary_of(&entry), entries: vec![entry] };
            assert!(!ladder::ladder(&trace, plain_view(Some(80))).contains('\0'));
            pcap::file(&trace.entries);
        }
    }
}

fn summary_of(first: &Entry) -> Summary {
    Summary {
        conversation: None,
        progress: Progress::Asked,
        first: first.clone(),
        last_at: first.at,
        messages: 1,
        dropped: 0,
    }
}

#[test]
fn pings_strangers_and_registrations_push_out_no_answered_call() {
    let mut shelf = Shelf::new(8, usize::MAX);
    for call in ["one", "two"] {
        shelf.hung_up(call);
    }
    shelf.put(Direction::Out, &request("REGISTER", "our own"));
    for flood in 0..1_000 {
        shelf.put(Direction::In, &request("OPTIONS", &format!("ping {flood}")));
        shelf.put(Direction::In, &request("REGISTER", &format!("stranger {flood}")));
        shelf.put(Direction::In, &request("INVITE", &format!("silence {flood}")));
        shelf.put(Direction::In, &request("INVITE", &format!("scan {flood}")));
        shelf.put(Direction::Out, &response("403 Forbidden", "INVITE", &format!("scan {flood}")));
        shelf.put(Direction::In, &request("BYE", &format!("stray {flood}")));
    }
    assert_eq!(shelf.kept(), ["one", "two", "our own", "silence 999", "scan 999", "stray 999"]);
}

#[test]
fn finished_calls_go_before_those_that_are_up_the_oldest_first() {
    let mut shelf = Shelf::new(3, usize::MAX);
    shelf.answered("long");
    for call in ["one", "two", "three"] {
        shelf.hung_up(call);
    }
    assert_eq!(shelf.kept(), ["long", "two", "three"]);
    for call in ["a", "b", "c"] {
        shelf.answered(call);
    }
    assert_eq!(shelf.kept(), ["a", "b", "c"], "all are up: the oldest goes");
}

#[test]
fn a_call_that_rang_and_was_cancelled_is_over_and_one_that_was_refused_is_not() {
    let mut shelf = Shelf::new(8, usize::MAX);
    shelf.put(Direction::In, &request("INVITE", "rang"));
    shelf.put(Direction::Out, &response("180 Ringing", "INVITE", "rang"));
    shelf.put(Direction::Out, &response("487 Request Terminated", "INVITE", "rang"));
    shelf.put(Direction::In, &request("INVITE", "refused"));
    shelf.put(Direction::Out, &response("404 Not Found", "INVITE", "refused"));
    shelf.put(Direction::Out, &request("INVITE", "challenged"));
    shelf.put(Direction::In, &response("401 Unauthorized", "INVITE", "challenged"));
    shelf.put(Direction::Out, &request("INVITE", "challenged"));
    shelf.put(Direction::In, &response("200 OK", "INVITE", "challenged"));
    let progress: Vec<Progress> = shelf.traces.summaries().iter().map(|summary| summary.progress).collect();
    assert_eq!(progress, [Progress::Over, Progress::Refused, Progress::Up]);
}

#[test]
fn memory_is_bounded_whatever_comes() {
    let mut shelf = Shelf::new(100_000, 100_000);
    let padding = "x".repeat(10_000);
    for number in 0..200 {
        shelf.answered(&format!("{number}"));
        let text = message("INFO sip:a SIP/2.0", &format!("{number}"), "2 INFO", "", &padding);
        shelf.put(Direction::In, &text);
        assert!(shelf.traces.counters().bytes <= 100_000);
    }
    let counters = shelf.traces.counters();
    assert!(counters.calls < 10 && counters.evicted > 190, "{counters:?}");
    let kept: u64 = shelf.traces.summaries().iter().map(|summary| summary.messages as u64).sum();
    assert!(counters.bytes >= kept * 160);
}

#[test]
fn of_a_long_call_the_middle_goes_and_of_a_registration_the_oldest() {
    let mut shelf = Shelf::new(10, usize::MAX);
    shelf.answered("call");
    shelf.put(Direction::Out, &request("REGISTER", "registration"));
    for number in 0..1_000 {
        for (call_id, method) in [("call", "INFO"), ("registration", "REGISTER")] {
            shelf.put(Direction::Out, &message("X sip:a SIP/2.0", call_id, &format!("{number} {method}"), "", ""));
        }
    }
    let trace = |name: &str| shelf.traces.trace(&Which::parse(name)).unwrap();
    let (call, registration) = (trace("call"), trace("registration"));
    assert_eq!((call.entries.len(), call.summary.dropped), (200, 802));
    assert!(call.entries[0].bytes.starts_with(b"INVITE"));
    assert!(String::from_utf8_lossy(&call.entries[199].bytes).contains("CSeq: 999 INFO"));
    assert!(String::from_utf8_lossy(&registration.entries[0].bytes).contains("CSeq: 800 REGISTER"));
    let shown = ladder::ladder(&call, plain_view(None));
    assert!(shown.contains("802 messages were not kept"), "{shown}");
}

#[test]
fn a_call_is_found_by_its_conversation_and_by_how_its_names_begin() {
    let mut shelf = Shelf::new(10, usize::MAX);
    shelf.answered("abc-1@x");
    shelf.answered("abc-2@x");
    shelf.put(Direction::In, &request("OPTIONS", "ping"));
    let uuid = Uuid::from_u128(0x1234_5678_9abc_def0_1234_5678_9abc_def0);
    shelf.traces.name("abc-1@x", uuid);
    let found = |name: &str| Some(shelf.traces.trace(&Which::parse(name))?.summary.first.call_id.to_string());
    assert_eq!(found("last").as_deref(), Some("abc-2@x"));
    assert_eq!(found("abc-1@x").as_deref(), Some("abc-1@x"));
    assert_eq!(found("12345678-9ABC").as_deref(), Some("abc-1@x"));
    assert_eq!(found("abc-2").as_deref(), Some("abc-2@x"));
    assert_eq!(found("abc"), None, "both begin so");
    assert_eq!(found("nothing"), None);
}

const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
    m=audio 16384 RTP/AVP 0 8 101\r\na=rtpmap:101 telephone-event/8000\r\na=ptime:20\r\n";
const ANSWER: &str = "v=0\r\no=- 2 2 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
    m=audio 20000 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\na=sendonly\r\nm=video 0 RTP/AVP 96\r\n";

fn plain_view(width: Option<usize>) -> View {
    let zone = FixedOffset::east_opt(0).unwrap();
    View { width, paint: Paint::Plain, detail: Detail::Arrows, zone }
}

/// A call that is transferred, with one response sent twice.
fn transferred() -> Trace {
    let agent = "User-Agent: FreeSWITCH-mod_sofia/1.10\r\nContent-Type: application/sdp\r\n";
    let sdp = "Content-Type: application/sdp\r\n";
    let id = "3f7a@pbx";
    let ok = message("SIP/2.0 200 OK", id, "1 INVITE", sdp, ANSWER);
    let refer = "Refer-To: <sip:1002@pbx.example>\r\n";
    let notify =
        "Event: refer\r\nSubscription-State: terminated;reason=noresource\r\nContent-Type: message/sipfrag\r\n";
    let bye = "Reason: Q.850;cause=16;text=\"NORMAL_CLEARING\"\r\n";
    let invite = message("INVITE sip:8000@127.0.0.1:5070 SIP/2.0", id, "1 INVITE", agent, OFFER);
    let messages = [
        (0, Direction::In, invite),
        (1, Direction::Out, response("100 Trying", "INVITE", id)),
        (212, Direction::Out, ok.clone()),
        (712, Direction::Out, ok),
        (720, Direction::In, request("ACK", id)),
        (9_000, Direction::Out, message("REFER sip:1001@192.0.2.1 SIP/2.0", id, "7 REFER", refer, "")),
        (9_001, Direction::In, response("202 Accepted", "REFER", id)),
        (9_900, Direction::In, message("NOTIFY sip:x SIP/2.0", id, "8 NOTIFY", notify, "SIP/2.0 486 Busy Here\r\n")),
        (12_345, Direction::In, message("BYE sip:x SIP/2.0", id, "9 BYE", bye, "")),
        (12_346, Direction::Out, message("SIP/2.0 481 Call/Transaction Does Not Exist At All", id, "9 BYE", "", "")),
    ];
    let mut traces = Traces::new(Limits { calls: 1, bytes: usize::MAX });
    for (number, (at, direction, text)) in (1..).zip(&messages) {
        let (entry, sniffed) = Entry::capture(&seen(*at, *direction, text.as_bytes()), number).unwrap();
        traces.keep(entry, sniffed);
    }
    traces.name(id, Uuid::from_u128(1));
    traces.trace(&Which::Last).unwrap()
}

#[test]
fn a_ladder_reads_from_top_to_bottom() {
    let want = include_str!("tests/ladder.txt");
    let shown = ladder::ladder(&transferred(), plain_view(Some(132)));
    assert_eq!(shown, want, "\n{shown}");
}

#[test]
fn a_narrow_terminal_gets_narrow_lines() {
    for width in [80, 90, 100, 200] {
        let shown = ladder::ladder(&transferred(), plain_view(Some(width)));
        for line in shown.lines().skip(2) {
            assert!(line.chars().count() <= width, "{} {line}", line.chars().count());
        }
    }
}

#[test]
fn colour_only_adds() {
    let view = plain_view(Some(100));
    let mut coloured = ladder::ladder(&transferred(), View { paint: Paint::Ansi, ..view });
    assert!(coloured.contains("\x1b[32;1m200 OK") && coloured.contains("\x1b[31;1m481"), "{coloured}");
    assert!(coloured.contains("\x1b[34;1mINVITE") && coloured.contains("\x1b[33mretransmission"), "{coloured}");
    while let Some(at) = coloured.find("\x1b[") {
        let end = coloured[at..].find('m').unwrap();
        coloured.replace_range(at..=at + end, "");
    }
    let trimmed = |text: &str| text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
    assert_eq!(trimmed(&coloured), trimmed(&ladder::ladder(&transferred(), view)));
}

#[test]
fn whole_messages_stand_below_their_arrows_without_control_characters() {
    let view = View { detail: Detail::Messages, ..plain_view(None) };
    let shown = ladder::ladder(&transferred(), view);
    for line in ["User-Agent: FreeSWITCH-mod_sofia/1.10", "a=rtpmap:101 telephone-event/8000", "SIP/2.0 486 Busy Here"]
    {
        assert!(shown.lines().any(|found| found.trim_start() == line), "{line}\n{shown}");
    }
    assert!(!shown.contains('\r'));
}

#[test]
fn a_third_party_gets_a_line_of_its_own() {
    let mut trace = transferred();
    for entry in &mut trace.entries[5..7] {
        entry.remote = address("198.51.100.7:5060");
    }
    let shown = ladder::ladder(&trace, plain_view(Some(140)));
    let refer = shown.lines().find(|line| line.contains("REFER ─")).unwrap();
    assert_eq!(refer.matches('│').count(), 3, "{shown}");
    assert!(refer.contains("│ ") && refer.contains("▶│"), "{shown}");
    assert!(shown.contains("198.51.100.7:5060"));
}

#[test]
fn what_cannot_be_read_is_shown_as_such() {
    let broken = "INVITE sip:a SIP/2.0\r\nCall-ID: x\r\n\r\n";
    let (entry, _) = Entry::capture(&seen(0, Direction::In, broken.as_bytes()), 1).unwrap();
    let shown = ladder::ladder(&Trace { summary: summary_of(&entry), entries: vec![entry] }, plain_view(None));
    assert!(shown.contains("INVITE sip:a SIP/2.0") && shown.contains("unreadable: "), "{shown}");
}

#[test]
fn what_is_followed_names_the_call_whenever_it_changes() {
    let mut ladder = Ladder::live(plain_view(Some(120)));
    let entry = |text: String| Entry::capture(&seen(0, Direction::In, text.as_bytes()), 1).unwrap().0;
    let first = ladder.follow(&entry(request("INVITE", "one")));
    let second = ladder.follow(&entry(request("ACK", "one")));
    let third = ladder.follow(&entry(request("INVITE", "two")));
    assert!(first.contains("sip:1001@pbx.example → sip:8000@pbx.example  one"), "{first}");
    assert_eq!(second.lines().count(), 1, "{second}");
    assert!(third.contains("  two\n"), "{third}");
}

/// Each packet of a capture file: its time in microseconds, and itself.
fn packets(file: &[u8]) -> Vec<(u64, Vec<u8>)> {
    let word = |at: usize| u64::from(u32::from_le_bytes(file[at..at + 4].try_into().unwrap()));
    assert_eq!((word(0), word(20)), (0xa1b2_c3d4, 101));
    let (mut at, mut found) = (24, Vec::new());
    while at < file.len() {
        let length = word(at + 8) as usize;
        found.push((word(at) * 1_000_000 + word(at + 4), file[at + 16..at + 16 + length].to_vec()));
        at += 16 + length;
    }
    found
}

fn sums_to_ones(parts: &[&[u8]]) -> bool {
    let words = parts
        .concat()
        .chunks(2)
        .map(|word| u32::from(word[0]) << 8 | u32::from(*word.get(1).unwrap_or(&0)))
        .sum::<u32>();
    (words & 0xffff) + (words >> 16) == 0xffff
}

#[test]
fn a_datagram_in_a_capture_file_has_right_lengths_and_sums() {
    let text = request("OPTIONS", "odd");
    for text in [text.clone(), text + "x"] {
        let (entry, _) = Entry::capture(&seen(3, Direction::In, text.as_bytes()), 1).unwrap();
        let found = packets(&pcap::file(std::slice::from_ref(&entry)));
        assert_eq!(found.len(), 1);
        let (at, packet) = &found[0];
        assert_eq!(*at, entry.at);
        assert_eq!(packet.len(), 28 + text.len());
        assert_eq!(packet[2..4], (packet.len() as u16).to_be_bytes());
        assert!(sums_to_ones(&[&packet[..20]]));
        let length = ((packet.len() - 20) as u32).to_be_bytes();
        assert!(sums_to_ones(&[&packet[12..20], &[0, 17], &length, &packet[20..]]));
        assert_eq!(&packet[28..], text.as_bytes());
    }
}

#[test]
fn a_stream_in_a_capture_file_counts_its_bytes_both_ways() {
    let long = message("INFO sip:a SIP/2.0", "x", "1 INFO", "", &"y".repeat(40_000));
    let texts = [(Direction::In, long), (Direction::Out, response("200 OK", "INFO", "x"))];
    let entries: Vec<Entry> = texts
        .iter()
        .map(|(direction, text)| {
            let seen =
                Seen { carrier: Carrier::Tls, local: address("[::1]:5061"), ..seen(0, *direction, text.as_bytes()) };
            Entry::capture(&seen, 1).unwrap().0
        })
        .collect();
    let found = packets(&pcap::file(&entries));
    assert_eq!(found.len(), 3, "the long one in two segments");
    let number = |packet: &[u8], at: usize| u32::from_be_bytes(packet[40 + at..44 + at].try_into().unwrap());
    let (first, second, answer) = (&found[0].1, &found[1].1, &found[2].1);
    assert_eq!(first[0] >> 4, 6, "an IPv4 peer of an IPv6 socket");
    assert_eq!((number(first, 4), number(second, 4)), (1, 32_769));
    assert_eq!((number(answer, 4), number(answer, 8)), (1, 1 + texts[0].1.len() as u32));
    for (_, packet) in &found {
        let length = ((packet.len() - 40) as u32).to_be_bytes();
        assert!(sums_to_ones(&[&packet[8..40], &[0, 6], &length, &packet[40..]]));
    }
}

/// The chunks of a HEP packet by number.
fn chunks(packet: &[u8]) -> BTreeMap<u16, Vec<u8>> {
    assert_eq!(&packet[..4], b"HEP3");
    assert_eq!(usize::from(u16::from_be_bytes([packet[4], packet[5]])), packet.len());
    let (mut at, mut found) = (6, BTreeMap::new());
    while at < packet.len() {
        let word = |place: usize| u16::from_be_bytes([packet[at + place], packet[at + place + 1]]);
        let length = usize::from(word(4));
        assert_eq!(word(0), 0);
        found.insert(word(2), packet[at + 6..at + length].to_vec());
        at += length;
    }
    found
}

#[test]
fn a_collector_gets_who_when_and_what() {
    let text = request("INVITE", "x@y");
    let (entry, _) = Entry::capture(&seen(1, Direction::In, text.as_bytes()), 1).unwrap();
    let identity = Identity { capture_id: 2001, password: Some("pass".into()) };
    let found = chunks(&hep::packet(&entry, &identity).unwrap());
    let want: [(u16, &[u8]); 13] = [
        (1, &[2]),
        (2, &[17]),
        (3, &[192, 0, 2, 1]),
        (4, &[127, 0, 0, 1]),
        (7, &5060_u16.to_be_bytes()),
        (8, &5070_u16.to_be_bytes()),
        (9, &1_790_000_000_u32.to_be_bytes()),
        (10, &1_000_u32.to_be_bytes()),
        (11, &[1]),
        (12, &2001_u32.to_be_bytes()),
        (14, b"pass"),
        (15, text.as_bytes()),
        (17, b"x@y"),
    ];
    assert_eq!(found, want.map(|(number, value)| (number, value.to_vec())).into());
    assert!(!format!("{identity:?}").contains("pass"));
    let six = Entry { local: address("[::1]:5060"), carrier: Carrier::Tls, direction: Direction::Out, ..entry.clone() };
    let found = chunks(&hep::packet(&six, &Identity { password: None, ..identity.clone() }).unwrap());
    assert_eq!(
        (&found[&1][..], &found[&2][..], found[&5].len(), found.contains_key(&14)),
        (&[10][..], &[6][..], 16, false)
    );
    let long = Entry { bytes: vec![b'x'; 65_530].into(), ..entry };
    assert_eq!(hep::packet(&long, &identity), None);
}
