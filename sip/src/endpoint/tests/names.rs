//! Names within dialogs: RFC 3263 for the remote target and the recorded route (RFC 3261 §12.2.1.1).
use super::*;
use crate::{locate::Located, uri::Uri};

const ELSEWHERE: &str = "192.0.2.77:5070";
const BY_NAME: &str = "<sip:ai@192.0.2.10:5080;transport=udp;gw=ai>";

fn located(remotes: &[&str]) -> Located {
    let targets = remotes.iter().map(|remote| register::target(Transport::Udp, remote)).collect();
    Located { targets, valid: Duration::from_secs(60) }
}

impl Stand {
    /// The question that is asked, among other events.
    fn question(&mut self) -> Option<Uri> {
        std::iter::from_fn(|| self.endpoint.poll_event()).find_map(|event| match event {
            Event::Locate { server } => Some(server),
            _ => None,
        })
    }

    fn learn(&mut self, server: &Uri, remotes: &[&str]) {
        self.endpoint.located(server, located(remotes), self.now);
    }

    /// A call of a peer whose Contact is this, up; what is asked about it.
    fn established_with(&mut self, contact: &str, extra: &str) -> (LegId, String, Option<Uri>) {
        let by = |text: String| text.replace(BY_NAME, contact);
        self.feed(&by(invite(1, extra, OFFER)));
        self.sent();
        let events: Vec<Event> = std::iter::from_fn(|| self.endpoint.poll_event()).collect();
        let Some(Event::Incoming { leg, .. }) = events.iter().find(|event| event.leg().is_some()) else { panic!() };
        let question = events.iter().find_map(|event| match event {
            Event::Locate { server } => Some(server.clone()),
            _ => None,
        });
        self.command(Command::Answer { leg: *leg, sdp: ANSWER.into() });
        let tag = to_tag(&self.one_response());
        self.feed(&by(peer("ACK", 1, &tag, "", "")));
        self.events();
        (*leg, tag, question)
    }

    fn where_bye_goes(&mut self, leg: LegId) -> String {
        self.command(Command::Bye { leg, reason: None });
        self.transmits().pop().unwrap().hop.remote.to_string()
    }
}

#[test]
fn the_name_of_a_contact_is_asked_for_once_and_requests_go_where_it_leads() {
    let mut stand = Stand::new();
    let (leg, _, question) = stand.established_with("<sip:ai@PBX.example:5070;transport=UDP;gw=1>", "");
    let question = question.unwrap();
    assert_eq!(question.as_str(), "sip:pbx.example:5070;transport=udp");
    stand.learn(&question, &[ELSEWHERE, "192.0.2.78:5070"]);
    assert_eq!(stand.where_bye_goes(leg), ELSEWHERE);
    // What is known is not asked for again, while it holds.
    let mut stand = Stand::new();
    let ask = |stand: &mut Stand, number: u32| {
        let text = invite(number, "", OFFER).replace(BY_NAME, "<sip:ai@pbx.example:5070>");
        stand.feed(&text.replace("call-1", &format!("call-{number}")));
        stand.sent();
        stand.question()
    };
    let first = ask(&mut stand, 1).unwrap();
    assert_eq!(ask(&mut stand, 2), None, "it is on its way");
    stand.learn(&first, &[ELSEWHERE]);
    stand.now += Duration::from_secs(59);
    assert_eq!(ask(&mut stand, 3), None);
    stand.now += Duration::from_secs(1);
    assert_eq!(ask(&mut stand, 4), Some(first));
}

#[test]
fn a_recorded_route_by_name_is_followed() {
    let mut stand = Stand::new();
    let route = "Record-Route: <sip:edge.example;lr>\r\n";
    let (leg, _, question) = stand.established_with(BY_NAME, route);
    let question = question.unwrap();
    assert_eq!(question.as_str(), "sip:edge.example");
    stand.learn(&question, &[ELSEWHERE]);
    assert_eq!(stand.where_bye_goes(leg), ELSEWHERE);
}

#[test]
fn without_an_answer_requests_go_where_the_messages_came_from() {
    let contact = "<sip:ai@pbx.example:5070>";
    let mut stand = Stand::new();
    let (leg, _, _) = stand.established_with(contact, "");
    assert_eq!(stand.where_bye_goes(leg), REMOTE, "not yet");
    let mut stand = Stand::new();
    let (leg, _, question) = stand.established_with(contact, "");
    stand.learn(&question.unwrap(), &[]);
    assert_eq!(stand.where_bye_goes(leg), REMOTE, "no such name");
    // An address of its own network is no way to a peer of the public one.
    let mut stand = Stand::new();
    stand.remote = "203.0.113.9:5080".parse().unwrap();
    let (leg, _, question) = stand.established_with(contact, "");
    stand.learn(&question.unwrap(), &["10.0.0.9:5070"]);
    assert_eq!(stand.where_bye_goes(leg), "203.0.113.9:5080", "behind a NAT");
}

#[test]
fn of_several_servers_the_one_that_began_the_dialog_goes_on() {
    let mut stand = Stand::new();
    let (leg, _, question) = stand.established_with("<sip:ai@pbx.example>", "");
    stand.learn(&question.unwrap(), &[ELSEWHERE, REMOTE]);
    assert_eq!(stand.where_bye_goes(leg), REMOTE);
}

#[test]
fn a_target_that_moves_to_a_name_is_followed() {
    let mut stand = Stand::new();
    let (leg, tag) = stand.established();
    stand.feed(&peer("INVITE", 2, &tag, "", OFFER).replace(BY_NAME, "<sip:ai@new.example>"));
    let question = stand.question().unwrap();
    stand.learn(&question, &[ELSEWHERE]);
    stand.sent();
    assert_eq!(stand.where_bye_goes(leg), ELSEWHERE);
}

/// RFC 3261 §13.2.2.4 with RFC 3263: the ACK of a 2xx is the first request that goes to the Contact of the 2xx.
#[test]
fn the_ack_waits_for_the_name_it_goes_to() {
    const CONTACT: &str = "Contact: <sip:desk@desk.example>\r\n";
    let mut stand = Stand::new();
    let (_, invite) = stand.calling();
    stand.feed(&answer(&invite, 200, "a", CONTACT, ANSWER));
    let question = stand.question().unwrap();
    assert_eq!(stand.sent_kinds(), Vec::<String>::new());
    stand.feed(&answer(&invite, 200, "a", CONTACT, ANSWER));
    assert_eq!(stand.sent_kinds(), Vec::<String>::new(), "nor is a copy acknowledged");
    stand.learn(&question, &[ELSEWHERE]);
    let ack = stand.transmits();
    assert_eq!((ack.len(), ack[0].hop.remote.to_string().as_str()), (1, ELSEWHERE));
    stand.feed(&answer(&invite, 200, "a", CONTACT, ANSWER));
    assert_eq!(stand.transmits(), ack, "each copy of the 2xx brings the same ACK");
    // It does not wait for ever, and no BYE overtakes it.
    let mut stand = Stand::new();
    let (_, invite) = stand.calling();
    stand.feed(&answer(&invite, 200, "a", CONTACT, ANSWER));
    assert_eq!(stand.pass(Duration::from_secs(3)), [(2_000, "ACK".to_owned())]);
    let mut stand = Stand::new();
    let (leg, invite) = stand.calling();
    stand.feed(&answer(&invite, 200, "a", CONTACT, ANSWER));
    stand.command(Command::Bye { leg, reason: None });
    assert_eq!(stand.sent_kinds(), ["ACK", "BYE"]);
}

#[test]
fn names_are_kept_within_a_bound() {
    let mut stand = Stand::new();
    let mut names = crate::endpoint::names::Names::default();
    let asked = (0..3_000).filter(|n| {
        let uri = Uri::parse(&format!("sip:h{n}.example")).unwrap();
        names.want(&uri, stand.now).is_some()
    });
    assert_eq!(asked.count(), 1_024);
    stand.now += Duration::from_secs(7);
    assert!(names.want(&Uri::parse("sip:late.example").unwrap(), stand.now).is_some(), "old ones make room");
}
