//! An INVITE that asks for the place of a leg (RFC 3891): who may have it, and how its events reach the call.
use super::admission::{Admission, Refusal};
use sip::{Command, Event, IncomingInvite, LegId};
use tokio::sync::mpsc;
use tracing::{Span, info};

/// A leg as the dispatcher knows it.
#[derive(Clone, Debug)]
pub struct Line {
    /// Its number.
    pub leg: LegId,
    /// Where its events go.
    pub call: mpsc::Sender<Box<Event>>,
    /// What made it.
    pub invite: Box<IncomingInvite>,
    /// What its log lines are within.
    pub span: Span,
}

impl Admission {
    /// Brings a leg to the call whose leg it may replace, or refuses it; then carries its events until the call is over.
    pub async fn take_over(
        &self,
        leg: LegId,
        invite: IncomingInvite,
        sip: mpsc::Receiver<Box<Event>>,
        old: Result<Line, LegId>,
    ) {
        match self.grant(&invite, old).await {
            Ok(old) => {
                info!(replaces = %old.leg, "Takeover");
                self.follow((leg, invite), sip, old).await;
            }
            Err(refusal) => self.turn_away(leg, &invite, refusal),
        }
    }

    /// Only a call with the same secretary may be taken over: a leg never changes its tenant.
    async fn grant(&self, invite: &IncomingInvite, old: Result<Line, LegId>) -> Result<Line, Refusal> {
        let old = old.map_err(|leg| Refusal::new(481, format!("{leg} belongs to no call")))?;
        let (wanted, running) = (self.secretary(invite).await?, self.secretary(&old.invite).await?);
        if wanted.secretary_realtime_uuid != running.secretary_realtime_uuid {
            return Err(Refusal::new(403, "the call it names is another secretary's"));
        }
        Ok(old)
    }

    async fn follow(&self, (leg, invite): (LegId, IncomingInvite), mut sip: mpsc::Receiver<Box<Event>>, old: Line) {
        if !sip.is_empty() {
            return; // a CANCEL was faster than the database, and nobody has heard of this leg
        }
        let mut event = Box::new(Event::Incoming { leg, invite: Box::new(invite), replaces: Some(old.leg) });
        while old.call.send(event).await.is_ok() {
            event = tokio::select! {
                next = sip.recv() => match next {
                    Some(event) => event,
                    None => return,
                },
                () = old.call.closed() => break,
            };
        }
        // The call is over. Had it taken the leg, it has ended it, and this changes nothing.
        let reject = Command::Reject { leg, status: 481, reason: None, headers: Vec::new() };
        for command in [reject, Command::Bye { leg, reason: None }] {
            self.command(command);
        }
    }
}
