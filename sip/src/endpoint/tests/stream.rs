//! TCP: RFC 3261 §18, framing, keep-alives, connections that are reused or lost.
use super::*;
use crate::leg::TerminatedBy;

fn tcp(text: &str) -> String {
    text.replace("SIP/2.0/UDP", "SIP/2.0/TCP").replace("transport=udp", "transport=tcp")
}

impl Stand {
    fn stream(&mut self, text: &str) {
        self.endpoint.handle_stream_opened(self.connection());
        self.endpoint.handle_stream(self.connection(), text.as_bytes(), self.now);
    }

    /// A call over TCP whose connection comes from an ephemeral port, and our tag.
    fn established_tcp(&mut self) -> (LegId, String) {
        self.remote = "192.0.2.10:43210".parse().unwrap();
        self.stream(&tcp(&invite(1, "", OFFER)));
        let Event::Incoming { leg, .. } = self.one_event() else { panic!("a new call") };
        self.sent();
        self.command(Command::Answer { leg, sdp: ANSWER.into() });
        let tag = to_tag(&self.one_response());
        self.stream(&tcp(&peer("ACK", 1, &tag, "", "")));
        self.events();
        (leg, tag)
    }
}

#[test]
fn messages_in_pieces_and_in_one() {
    let mut stand = Stand::new();
    let text = tcp(&format!("{}{}", peer("OPTIONS", 1, "", "", ""), peer("OPTIONS", 2, "", "", "")));
    let (head, tail) = text.split_at(text.len() / 2 + 50);
    stand.stream(&head[..100]);
    stand.stream(&head[100..]);
    stand.stream(tail);
    let transmits = stand.transmits();
    assert_eq!(transmits.len(), 2);
    let right = |t: &Transmit| t.hop == stand.connection();
    assert!(transmits.iter().all(right));
}

#[test]
fn a_ping_gets_a_pong_and_garbage_closes_the_connection() {
    let mut stand = Stand::new();
    stand.stream("\r\n\r\n");
    assert_eq!(stand.transmits().pop().map(|transmit| transmit.bytes), Some(b"\r\n".to_vec()));
    stand.stream("OPTIONS sip:a SIP/2.0\r\nContent-Length: many\r\n\r\n");
    assert_eq!(stand.endpoint.poll_close(), Some(stand.connection()));
    assert_eq!(stand.endpoint.poll_close(), None);
}

#[test]
fn requests_are_not_repeated_but_a_2xx_is() {
    let mut stand = Stand::new();
    stand.remote = "192.0.2.10:43210".parse().unwrap();
    stand.stream(&tcp(&invite(1, "", OFFER)));
    let Event::Incoming { leg, .. } = stand.one_event() else { panic!("a new call") };
    stand.command(Command::Answer { leg, sdp: ANSWER.into() });
    let contact = match stand.sent().pop() {
        Some(Message::Response(ok)) => ok.headers.contact().unwrap().uri.to_string(),
        other => panic!("a response, not {other:?}"),
    };
    assert_eq!(contact, "sip:1000@198.51.100.1:5060;transport=tcp");
    assert_eq!(stand.pass(Duration::from_secs(1)), [(500, "200".to_owned())]);
    let mut stand = Stand::new();
    let (leg, _) = stand.established_tcp();
    stand.command(Command::Bye { leg, reason: None });
    let bye = stand.transmits().remove(0);
    assert_eq!(bye.hop, stand.connection(), "the connection is used again");
    assert_eq!(stand.pass(Duration::from_secs(31)), []);
    stand.pass(Duration::from_secs(1));
    assert_eq!(stand.events(), [Event::Terminated { leg, by: TerminatedBy::Us }]);
}

#[test]
fn after_a_lost_connection_the_contact_is_called() {
    let mut stand = Stand::new();
    let (leg, _) = stand.established_tcp();
    stand.endpoint.handle_stream_closed(stand.connection(), stand.now);
    assert_eq!(stand.events(), []);
    stand.command(Command::Bye { leg, reason: None });
    let bye = stand.transmits().remove(0);
    assert_eq!(bye.hop, Hop { remote: "192.0.2.10:5080".parse().unwrap(), ..stand.connection() });
    stand.endpoint.handle_unreachable(bye.hop, stand.now);
    assert_eq!(stand.events(), [Event::Terminated { leg, by: TerminatedBy::Us }]);
}

#[test]
fn a_peer_that_refreshes_by_another_connection_is_reached_by_that() {
    let mut stand = Stand::new();
    let (leg, tag) = stand.established_tcp();
    stand.endpoint.handle_stream_closed(stand.connection(), stand.now);
    stand.remote = "192.0.2.10:43999".parse().unwrap();
    stand.stream(&tcp(&peer("UPDATE", 2, &tag, "", "")));
    assert_eq!(stand.sent_kinds(), ["200"]);
    stand.command(Command::Bye { leg, reason: None });
    assert_eq!(stand.transmits().remove(0).hop, stand.connection());
}

#[test]
fn a_bye_over_tcp_ends_the_call() {
    let mut stand = Stand::new();
    let (leg, tag) = stand.established_tcp();
    stand.stream(&tcp(&peer("BYE", 2, &tag, "", "")));
    assert_eq!((stand.sent_kinds(), stand.events()), (vec!["200".to_owned()], vec![Event::Bye { leg, reason: None }]));
    stand.pass(Duration::ZERO);
    assert_eq!(stand.endpoint.stats().transactions, 1, "only the INVITE's lingers (timer L)");
}

#[test]
fn a_response_without_its_connection_goes_where_the_peer_listens() {
    let mut stand = Stand::new();
    stand.remote = "192.0.2.10:43210".parse().unwrap();
    stand.stream(&tcp(&invite(1, "", OFFER)));
    let Event::Incoming { leg, .. } = stand.one_event() else { panic!("a new call") };
    stand.transmits();
    stand.endpoint.handle_stream_closed(stand.connection(), stand.now);
    stand.command(Command::Answer { leg, sdp: ANSWER.into() });
    let ok = stand.transmits().remove(0);
    assert_eq!(ok.hop, Hop { remote: "192.0.2.10:5080".parse().unwrap(), ..stand.connection() }, "RFC 3261 §18.2.2");
}

/// An INVITE whose offer makes it larger than a datagram may be.
fn large_invite(stand: &mut Stand) -> Transmit {
    let sdp = format!("{OFFER}{}", "a=x-long:0123456789\r\n".repeat(80));
    let leg = stand.endpoint.invite(OutgoingInvite { sdp: sdp.as_str().into(), ..uac::outgoing() }, stand.now);
    assert_eq!(leg, LegId(1));
    stand.transmits().remove(0)
}

fn via(transmit: &Transmit) -> String {
    Message::parse(&transmit.bytes).unwrap().headers().via().unwrap().transport
}

#[test]
fn a_request_too_large_for_a_datagram_goes_over_tcp() {
    let mut stand = Stand::new();
    let invite = large_invite(&mut stand);
    assert_eq!((invite.hop, via(&invite).as_str()), (stand.connection(), "TCP"));
    assert_eq!(stand.pass(Duration::from_secs(5)), [], "a stream needs no repetition");
}

#[test]
fn a_large_request_to_a_peer_without_tcp_goes_as_a_datagram_after_all() {
    let mut stand = Stand::new();
    let first = large_invite(&mut stand);
    stand.endpoint.handle_unreachable(first.hop, stand.now);
    let again = stand.transmits().remove(0);
    assert_eq!((again.hop.transport, via(&again).as_str()), (Transport::Udp, "UDP"));
    assert_eq!(stand.events(), []);
    assert_eq!(stand.pass(Duration::from_secs(1)).len(), 1, "over UDP it is repeated");
    stand.endpoint.handle_command(Command::Bye { leg: LegId(1), reason: None }, stand.now);
    let next = stand.endpoint.invite(OutgoingInvite { sdp: vec![b'x'; 2_000].into(), ..uac::outgoing() }, stand.now);
    assert_eq!((next, stand.transmits().remove(0).hop.transport), (LegId(2), Transport::Udp), "the peer is known");
}

#[test]
fn whole_messages_are_given_to_whoever_traces_within_a_bound() {
    let mut stand = Stand::new();
    let ping = |cseq: u32| tcp(&peer("OPTIONS", cseq, "", "", ""));
    stand.stream(&ping(1));
    assert_eq!(stand.endpoint.poll_framed(), None, "nobody traces");
    stand.endpoint.trace_streams();
    let (head, tail) = (ping(2), ping(3));
    let (first, rest) = head.split_at(40);
    stand.stream(first);
    assert_eq!(stand.endpoint.poll_framed(), None);
    stand.stream(&format!("{rest}\r\n\r\n{tail}"));
    for want in [head.clone(), tail] {
        assert_eq!(stand.endpoint.poll_framed(), Some((stand.connection(), want.as_str().into())));
    }
    for cseq in 4..100 {
        stand.stream(&ping(cseq));
    }
    assert_eq!(std::iter::from_fn(|| stand.endpoint.poll_framed()).count(), FRAMED);
}
