//! The phone of `ramal call`, by itself.
use crate::model::{self, LEG};
use media::codec::Codec;
use ramal::{
    dtmf::Dtmf,
    phone::{HangUp, Phone, Plan, Setup},
};
use sip::{Body, Command, Event, OfferMethod};
use std::time::{Duration, Instant};

/// As the far end describes itself, with its audio at this port.
fn described(port: u16) -> Option<Body> {
    let sdp = String::from_utf8(model::offer("")).unwrap();
    Some(Body::from(sdp.replace(" 4000 ", &format!(" {port} ")).into_bytes()))
}

/// A re-INVITE without an offer: ours is in the 200, and the far end's answer in the ACK.
#[test]
fn an_answer_in_mid_call_to_an_offer_that_was_asked_for_is_followed() {
    let mut now = Instant::now();
    let setup = Setup {
        local: "127.0.0.1:20000".parse().unwrap(),
        codecs: vec![Codec::Pcmu],
        srtp: None,
        dtmf: Dtmf::Auto,
        seed: 7,
        since_1970: Duration::ZERO,
        plan: Plan {
            clips: Vec::new(),
            keys: Vec::new(),
            duration: Duration::from_secs(60),
            answer_within: Duration::from_secs(10),
            hang_up: HangUp::AtTheEnd,
        },
    };
    let mut phone = Phone::new(setup, now);
    phone.offer();
    phone.dialled(LEG);
    phone.handle_sip(Event::Established { leg: LEG, sdp: described(4000) }, now);
    phone.handle_sip(Event::Offer { leg: LEG, method: OfferMethod::Invite, sdp: None }, now);
    let mut commands = std::iter::from_fn(|| phone.poll_command());
    assert!(commands.any(|command| matches!(command, Command::AcceptOffer { leg: LEG, .. })));
    phone.handle_sip(Event::Established { leg: LEG, sdp: described(4002) }, now);
    let sent = loop {
        let (at, _) = phone.poll_timeout().unwrap();
        now = at.max(now);
        phone.handle_timeout(now);
        let packets = || phone.poll_transmit();
        if let Some(packet) = std::iter::from_fn(packets).find(|sent| sent.channel == media::Channel::Rtp) {
            break packet;
        }
    };
    assert_eq!(sent.remote, "127.0.0.1:4002".parse().unwrap());
}
