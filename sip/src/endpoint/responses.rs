//! Responses and what stands for them: to the transaction first, then to whose it is (RFC 3261 §8.1.3).
use super::{
    Endpoint,
    core::{Purpose, User, ack_of_refusal},
};
use crate::{
    dialog::{Outcome, decline_late_answer},
    message::{Name, Response},
    transaction::{ClientId, key::ClientKey},
    transport::Hop,
};
use std::time::Instant;

impl Endpoint {
    pub(super) fn response(&mut self, response: &Response, hop: Hop, now: Instant) {
        // RFC 3261 §8.1.3.3: with another Via below ours it was never meant for us.
        let ours = response.headers.all(Name::Via).count() == 1;
        let key = ClientKey::of_response(response).filter(|_| ours);
        let status = response.status.code();
        let matched = key.and_then(|key| self.core.transactions.handle_response(&key, status, now));
        let Some(matched) = matched else {
            self.core.stats.stray += 1;
            self.guards.at(hop.listener).blame(hop.remote.ip(), now, &mut self.core.stats);
            return;
        };
        self.guards.at(hop.listener).acquaint(hop.remote.ip(), now);
        if matched.acknowledge {
            let ack = self.core.transactions.sent(matched.id).map(|(invite, _)| ack_of_refusal(invite, response));
            if let Some(ack) = ack {
                self.core.transactions.acknowledge(matched.id, ack.to_bytes());
            }
        }
        if matched.pass {
            self.deliver(matched.id, matched.user, Outcome { status, response: Some(response) }, now);
        }
    }

    /// Tells whose the transaction is how it went.
    pub(super) fn deliver(&mut self, id: ClientId, user: User, outcome: Outcome<'_>, now: Instant) {
        match user {
            User::Leg(leg, purpose) if self.legs.contains_key(&leg) => {
                self.with_leg(leg, |leg, core| leg.handle_outcome((purpose, id), outcome, core, now));
            }
            User::Leg(_, Purpose::Invite | Purpose::Reinvite) => {
                if let Outcome { status: 200..300, response: Some(response) } = outcome {
                    decline_late_answer(id, response, &mut self.core, now);
                }
            }
            User::Leg(_, Purpose::Refresh | Purpose::Bye | Purpose::Refer | Purpose::Info | Purpose::Prack)
            | User::Nobody => {}
            User::Ping(registration) => {
                self.with_registration(registration, |r, core| r.handle_ping(id, outcome, core, now));
            }
            User::Registration(registration) => {
                self.with_registration(registration, |r, core| r.handle_outcome(id, outcome, core, now));
            }
        }
    }
}
