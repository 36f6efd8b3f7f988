//! What FreeSWITCH 1.10.12 sent to a UA in our lab, sent to ours: the same words, our tags and branches put in.
use super::*;
use crate::{leg::ReferProgress, message::Name};

/// What the owner does in a scenario, besides ringing, answering calls and accepting offers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Owner {
    Listens,
    Rings,
    Refers,
    RefersAndHangsUp,
}

impl Stand {
    fn react(&mut self, owner: Owner, event: &Event) {
        let commands = match (event, owner) {
            (Event::Incoming { leg, .. }, Owner::Rings) => vec![Command::Ring { leg: *leg }],
            (Event::Incoming { leg, .. }, _) => {
                vec![Command::Ring { leg: *leg }, Command::Answer { leg: *leg, sdp: ANSWER.into() }]
            }
            (Event::Offer { leg, .. }, _) => vec![Command::AcceptOffer { leg: *leg, sdp: ANSWER.into() }],
            (Event::Established { leg, .. }, Owner::Refers | Owner::RefersAndHangsUp) => {
                let (refer_to, notify_deadline) = ("sip:1000@test.local".into(), Duration::from_secs(30));
                vec![Command::Refer { leg: *leg, refer_to, replaces: None, notify_deadline }]
            }
            (Event::Refer { leg, progress: ReferProgress::Accepted }, Owner::RefersAndHangsUp) => {
                vec![Command::Bye { leg: *leg, reason: None }]
            }
            _ => vec![],
        };
        commands.into_iter().for_each(|command| self.command(command));
    }

    /// Plays a trace; gives back what happened, and the last requests and responses of ours by kind.
    fn play(&mut self, trace: &str, owner: Owner) -> Vec<String> {
        self.remote = "127.0.0.1:15080".parse().unwrap();
        let mut happened = Vec::new();
        let (mut tag, mut refer) = (String::new(), None::<Request>);
        for text in trace.split("====\n") {
            let text = adapt(text, &tag, refer.as_ref());
            happened.push(format!("< {}", kind(&Message::parse(text.as_bytes()).unwrap())));
            self.feed(&text);
            while let Some(event) = self.endpoint.poll_event() {
                happened.push(name(&event));
                self.react(owner, &event);
            }
            for message in self.sent() {
                happened.push(format!("> {}", kind(&message)));
                match message {
                    Message::Request(request) if request.method.as_str() == "REFER" => refer = Some(request),
                    Message::Response(response) if response.status.code() > 100 => tag = to_tag(&response),
                    _ => {}
                }
            }
        }
        happened
    }
}

/// A message of the trace with what depends on us replaced.
fn adapt(text: &str, tag: &str, refer: Option<&Request>) -> String {
    // The files are kept without the blank line that ends a message without a body.
    let end = if text.contains("\n\n") { "" } else { "\n" };
    let crlf = format!("{text}{end}").replace('\n', "\r\n");
    match Message::parse(crlf.as_bytes()).unwrap() {
        Message::Request(mut request) => {
            if let Some(to) = request.headers.to().filter(|to| to.tag().is_some()) {
                request.headers.set(Name::To, to.with_tag(tag).to_string());
            }
            if let (Some(refer), true) = (refer, request.headers.first(Name::Event).is_some()) {
                let id = refer.headers.cseq().unwrap().number;
                request.headers.set(Name::Event, format!("refer;id={id}"));
            }
            String::from_utf8(request.to_bytes()).unwrap()
        }
        Message::Response(mut response) => {
            let ours = refer.expect("the only request of ours that traces answer");
            for name in [Name::Via, Name::From, Name::To, Name::CallId, Name::CSeq] {
                response.headers.set(name, ours.headers.first(name).unwrap());
            }
            String::from_utf8(response.to_bytes()).unwrap()
        }
    }
}

fn name(event: &Event) -> String {
    match event {
        Event::Incoming { .. } => "incoming".into(),
        Event::Cancelled { .. } => "cancelled".into(),
        Event::Established { .. } => "established".into(),
        Event::Offer { sdp, .. } => {
            let text = String::from_utf8_lossy(sdp.as_deref().unwrap_or_default()).into_owned();
            format!("offer{}", if text.contains("a=sendonly") { " sendonly" } else { "" })
        }
        Event::Info { content_type, body, .. } => format!("info {content_type} {}", String::from_utf8_lossy(body)),
        Event::Refer { progress, .. } => format!("{progress:?}"),
        Event::Bye { reason, .. } => format!("bye {:?}", reason.as_ref().and_then(|reason| reason.cause)),
        Event::Terminated { by, .. } => format!("terminated {by:?}"),
        Event::Progress { .. }
        | Event::Failed { .. }
        | Event::InfoRefused { .. }
        | Event::OfferAnswered { .. }
        | Event::Registration { .. }
        | Event::Stranger { .. }
        | Event::Locate { .. } => {
            panic!("not in these traces: {event:?}")
        }
    }
}

const ANSWERED: [&str; 7] = ["< INVITE", "incoming", "> 100", "> 180", "> 200", "< ACK", "established"];

fn check(trace: &str, owner: Owner, expected: &[&str]) {
    let mut stand = Stand::new();
    let happened = stand.play(trace, owner);
    let expected: Vec<&str> = if owner == Owner::Rings { vec![] } else { ANSWERED.to_vec() }
        .into_iter()
        .chain(expected.iter().copied())
        .collect();
    assert_eq!(happened, expected);
    assert!(stand.endpoint.is_idle());
}

#[test]
fn s04_a_plain_call() {
    check(include_str!("fixtures/s04_invite_basic.txt"), Owner::Listens, &["< BYE", "bye Some(16)", "> 200"]);
}

#[test]
fn s04_what_the_invite_says() {
    let trace = include_str!("fixtures/s04_invite_basic.txt");
    let mut stand = Stand::new();
    stand.feed(&trace.split("====\n").next().unwrap().replace('\n', "\r\n"));
    let Event::Incoming { invite, .. } = stand.one_event() else { panic!("a new call") };
    assert_eq!((invite.request_user.as_str(), invite.from_user.as_str()), ("agentx", "+551130000001"));
    assert_eq!(invite.from_display, "Caller Um");
    assert!(invite.x_headers.contains(&("X-Lab-Tenant".into(), "test.local".into())));
    assert!(String::from_utf8(invite.offer.unwrap().into()).unwrap().contains("m=audio"));
}

#[test]
fn s06_a_caller_who_gives_up() {
    let expected = ["< INVITE", "incoming", "> 100", "> 180", "< CANCEL", "cancelled", "> 200", "> 487", "< ACK"];
    check(include_str!("fixtures/s06_cancel.txt"), Owner::Rings, &expected);
}

#[test]
fn s10_hold_and_unhold() {
    let hold = ["< INVITE", "offer sendonly", "> 100", "> 200", "< ACK"];
    let unhold = ["< INVITE", "offer", "> 100", "> 200", "< ACK"];
    let expected = [&hold[..], &unhold[..], &["< BYE", "bye Some(16)", "> 200"]].concat();
    check(include_str!("fixtures/s10_hold.txt"), Owner::Listens, &expected);
}

#[test]
fn s13b_digits_by_info() {
    let info = "info application/dtmf-relay Signal=5\r\nDuration=100\r\n";
    let expected = ["< INFO", info, "> 200", "< BYE", "bye Some(16)", "> 200"];
    check(include_str!("fixtures/s13b_dtmf_info.txt"), Owner::Listens, &expected);
}

#[test]
fn s14_a_blind_transfer_nobody_vouches_for() {
    let notified = "Notified { status: 200, terminated: true }";
    let expected = ["> REFER", "< 202", "Accepted", "< NOTIFY", notified, "> 200", "< BYE", "bye Some(16)", "> 200"];
    check(include_str!("fixtures/s14_refer_ok.txt"), Owner::Refers, &expected);
}

#[test]
fn s14g_hanging_up_right_after_the_202() {
    let expected = ["> REFER", "< 202", "Accepted", "> BYE", "< NOTIFY", "> 481", "< BYE", "terminated Us", "> 200"];
    let mut stand = Stand::new();
    let happened = stand.play(include_str!("fixtures/s14g_refer_bye_immediately.txt"), Owner::RefersAndHangsUp);
    assert_eq!(happened, [&ANSWERED[..], &expected[..]].concat());
}

#[test]
fn s30_a_confirmed_transfer_and_one_that_found_the_agent_busy() {
    for (trace, status) in
        [(include_str!("fixtures/s30_confirm_ok.txt"), 200), (include_str!("fixtures/s30j_confirm_runs_out.txt"), 486)]
    {
        let notified = format!("Notified {{ status: {status}, terminated: true }}");
        let happened = Stand::new().play(trace, Owner::Refers);
        let notify = happened.iter().position(|line| line == "< NOTIFY").unwrap();
        assert_eq!(happened[notify + 1..notify + 3], [notified, "> 200".to_owned()]);
    }
}

#[test]
fn s03_pings_of_gateways_and_of_registered_contacts() {
    for ping in [
        include_str!("../../message/fixtures/gateway_ping.sip"),
        include_str!("../../message/fixtures/contact_ping.sip"),
    ] {
        let mut stand = Stand::new();
        stand.feed(ping);
        assert_eq!(stand.one_response().status.code(), 200);
        stand.endpoint.drain();
        stand.feed(ping);
        assert_eq!(stand.one_response().status.code(), 503);
    }
}
