//! Reliable provisional responses, RFC 3262: ours until their PRACK comes, the peer's and our PRACK.
use super::{
    Dialog, Leg,
    leg::{State, sdp_of},
};
use crate::{
    Body,
    endpoint::core::{Core, Purpose, Reply, Served, User},
    leg::TerminatedBy,
    message::{Headers, Method, Name, RAck, Request, Response, StatusCode},
    transaction::timer::{Deadline, Repeat, T1_64},
    transport::Transmit,
};
use std::time::Instant;

/// The option tag.
const RELIABLY: &str = "100rel";
/// Branches of a forked INVITE (or of our last ones) whose provisional responses are followed. What others answer
/// reliably is not acknowledged, so that they give up.
const MAX_BRANCHES: usize = 16;

/// How provisional responses to the peer's INVITE are sent.
#[derive(Clone, Debug)]
pub(super) enum Provisionals {
    /// As RFC 3261 has it.
    Plain,
    /// Not at all: the INVITE wants them reliable and has no offer, so that the first would have to carry ours (§5).
    None,
    /// Reliably. One at a time waits for its PRACK; `next` is the next one's RSeq.
    Reliable { next: u32, unacknowledged: Option<Unacknowledged> },
}

/// A provisional response without its PRACK.
#[derive(Clone, Debug)]
pub(super) struct Unacknowledged {
    response: Transmit,
    rack: RAck,
    repeat: Repeat,
    give_up: Instant,
}

impl Provisionals {
    /// Of this INVITE. An extension is used where it is required; a 180 without a session has nothing to lose.
    pub(super) fn wanted_by(invite: &Request, core: &mut Core) -> Self {
        match (invite.headers.lists(Name::Require, RELIABLY), sdp_of(&invite.headers, &invite.body)) {
            (false, _) => Self::Plain,
            (true, None) => Self::None,
            (true, Some(_)) => Self::Reliable { next: core.first_rseq(), unacknowledged: None },
        }
    }

    /// The next deadline.
    pub(super) fn poll_timeout(&self) -> Option<Deadline> {
        let Self::Reliable { unacknowledged: Some(waiting), .. } = self else { return None };
        Some((waiting.repeat.at(), "provisional response again").min((waiting.give_up, "PRACK")))
    }

    /// Whether a PRACK is for the response that waits for one, which then waits no more.
    fn acknowledge(&mut self, rack: &RAck) -> bool {
        let Self::Reliable { unacknowledged, .. } = self else { return false };
        unacknowledged.take_if(|waiting| waiting.rack == *rack).is_some()
    }
}

/// What has been heard reliably from one branch of an INVITE of ours.
#[derive(Clone, Debug)]
pub(super) struct Branch {
    /// CSeq of the INVITE.
    invite: u32,
    /// To tag.
    tag: String,
    /// RSeq of the last response in order.
    rseq: u32,
    /// The answer to our offer, which the 2xx need not repeat.
    answer: Option<Body>,
    /// The early dialog, where it is not the leg's own.
    fork: Option<Box<Dialog>>,
}

/// The RSeq of a provisional response that wants a PRACK.
pub(super) fn reliable(response: &Response) -> Option<u32> {
    let wants = (101..200).contains(&response.status.code()) && response.headers.lists(Name::Require, RELIABLY);
    response.headers.rseq().filter(|_| wants)
}

impl Leg {
    /// Sends a provisional response above 100 the way the INVITE wants it.
    pub(super) fn provisional(&mut self, invite: &Served, reply: Reply, core: &mut Core, now: Instant) {
        let (next, waiting) = match &mut self.provisionals {
            Provisionals::Plain => {
                self.reply(invite, reply, core, now);
                return;
            }
            Provisionals::None => return,
            // §3: the next only after the PRACK of the last, and the last is being repeated.
            Provisionals::Reliable { unacknowledged: Some(_), .. } => return,
            Provisionals::Reliable { next, unacknowledged } => (next, unacknowledged),
        };
        let rseq = *next;
        *next = rseq.wrapping_add(1);
        let reply = reply.with(Name::Require, RELIABLY).with(Name::RSeq, rseq.to_string());
        let response = core.answer(invite, self.dialog.local_tag(), reply, now);
        let rack = RAck { rseq, cseq: invite.cseq, method: Method::Invite };
        // The interval doubles without the limit of T2.
        let repeat = Repeat::new(T1_64, now);
        *waiting = Some(Unacknowledged { response, rack, repeat, give_up: now + T1_64 });
    }

    /// Repeats a provisional response, or gives the INVITE up for want of a PRACK. After the final response only the
    /// PRACK is still looked for (§3).
    pub(super) fn provisional_timeout(&mut self, core: &mut Core, now: Instant) {
        let Provisionals::Reliable { unacknowledged: Some(waiting), .. } = &mut self.provisionals else { return };
        let State::Ringing(ringing) = &self.state else { return };
        if waiting.give_up <= now {
            self.reply(&ringing.invite, Reply::new(StatusCode::SERVER_TIMEOUT), core, now);
            return self.gone(TerminatedBy::NoPrack, core);
        }
        if waiting.repeat.take_due(now) {
            core.transactions.send_again(waiting.response.clone());
        }
    }

    /// PRACK of the peer.
    pub(super) fn acknowledged_early(&mut self, prack: &Request, served: &Served, core: &mut Core, now: Instant) {
        let status = match prack.headers.rack() {
            None => StatusCode::BAD_REQUEST,
            Some(rack) if !self.provisionals.acknowledge(&rack) => StatusCode::NO_TRANSACTION,
            // §5 allows another offer after our answer only, which no provisional response of ours carries.
            Some(_) if !prack.body.is_empty() => StatusCode::REQUEST_PENDING,
            Some(_) => StatusCode::OK,
        };
        self.reply(served, Reply::new(status), core, now);
    }

    /// Acknowledges a reliable provisional response. `false` for one that came before or came out of order: §4 treats
    /// it as if it had not come.
    pub(super) fn acknowledge_early(&mut self, response: &Response, rseq: u32, core: &mut Core, now: Instant) -> bool {
        let (Some(cseq), Some(to)) = (response.headers.cseq(), response.headers.to()) else { return false };
        let tag = to.tag().unwrap_or_default();
        let known = self.branches.iter().position(|branch| branch.is(cseq.number, tag));
        if known.is_none() {
            if self.branches.len() >= MAX_BRANCHES {
                return false;
            }
            let fork = (!self.dialog.is_answerer(&response.headers)).then(|| {
                let mut fork = self.dialog.clone();
                fork.confirm(response, core, now);
                Box::new(fork)
            });
            let before = rseq.wrapping_sub(1);
            self.branches.push(Branch { invite: cseq.number, tag: tag.to_owned(), rseq: before, answer: None, fork });
        }
        let at = known.unwrap_or(self.branches.len().saturating_sub(1));
        let Some(branch) = self.branches.get_mut(at).filter(|branch| branch.rseq.wrapping_add(1) == rseq) else {
            return false;
        };
        branch.rseq = rseq;
        if let Some(answer) = sdp_of(&response.headers, &response.body) {
            branch.answer = Some(answer);
        }
        let dialog = branch.fork.as_deref_mut().unwrap_or(&mut self.dialog);
        let mut prack = dialog.request(Method::Prack, core);
        prack.headers.push(Name::RAck, RAck { rseq, cseq: cseq.number, method: cseq.method }.to_string());
        let hop = dialog.next_hop(core);
        core.transactions.request(prack, hop, User::Leg(self.id, Purpose::Prack), now);
        true
    }

    /// The final response to an INVITE of ours ends what was provisional: gives the answer that came early from the
    /// same branch, and goes on in its dialog.
    pub(super) fn settle_branches(&mut self, headers: &Headers) -> Option<Body> {
        let (cseq, to) = (headers.cseq()?, headers.to()?);
        let branches = std::mem::take(&mut self.branches);
        let branch = branches.into_iter().find(|branch| branch.is(cseq.number, to.tag().unwrap_or_default()))?;
        if let Some(fork) = branch.fork {
            self.dialog = *fork;
        }
        branch.answer
    }
}

impl Branch {
    fn is(&self, invite: u32, tag: &str) -> bool {
        self.invite == invite && self.tag == tag
    }
}
