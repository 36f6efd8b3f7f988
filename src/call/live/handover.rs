//! The caller is handed over to somebody else, or comes back.
use super::{
    Assistant, Desk, Event, Fate, Flow, GO_ON, Live, Phase, Spoken, Step, Transfer, Whom, budget,
    transfer::{self, Proof},
};
use crate::record::Outcome;
use providers::{Note, Respond, ToolCallId};
use serde_json::json;
use sip::{Command, ReferProgress};
use std::time::Instant;

impl Live {
    /// The model asked for it: the caller is told first.
    pub(super) fn announce_transfer(&mut self, id: ToolCallId, asked: &str, desk: &mut Desk, now: Instant) {
        self.want_answer(desk.settings.ladder.answer, desk, now);
        let (whom, destination) = match transfer::resolve(&desk.secretary.transfer_rules, asked) {
            Ok(rule) => (Whom::Rule(rule.name.clone()), rule.destination.clone()),
            Err(refusal) => {
                let reason = format!("nobody here is called {:?}", refusal.asked);
                let output = json!({"status": "refused", "reason": reason, "choices": refusal.choices});
                return self.provider.answer_tool(id, output.to_string(), Respond::Yes, now);
            }
        };
        // What is being said now is the announcement; a silent model is asked for one.
        let respond = if self.is_silent() { Respond::Yes } else { Respond::No };
        let output = json!({
            "status": "transferring",
            "instruction": "Tell the caller in one short sentence that they are being transferred now."
        });
        self.provider.answer_tool(id, output.to_string(), respond, now);
        let until = now + desk.settings.announce_deadline;
        let step = Step::Announcing { until, spoken: Spoken::NotYet };
        self.phase = Phase::Transferring(Transfer { whom, destination, step });
    }

    /// The caller has been told, or will not be.
    pub(super) fn refer(&mut self, desk: &mut Desk, now: Instant) {
        self.hush(now);
        if !matches!(self.phase, Phase::Transferring(_)) {
            return;
        }
        if let Some(heard) = self.media.cut(now) {
            desk.log.transcript.cut(heard, now);
            self.cut = Some(heard.utterance);
            self.notice_ended(heard, Fate::Cut, desk, now);
        }
        self.open = None;
        let Phase::Transferring(transfer) = &mut self.phase else { return };
        transfer.step = Step::Referred { at: now };
        let destination = transfer.destination.clone();
        desk.log.transfer_destination = Some(destination.clone());
        desk.commands.push_back(Command::Refer {
            leg: desk.leg,
            refer_to: format!("sip:{destination}@{}", desk.secretary.domain_name),
            replaces: None,
            notify_deadline: desk.settings.notify_deadline,
        });
        desk.emit(Event::TransferStarted { destination });
    }

    /// News of it.
    pub(super) fn on_refer(&mut self, progress: ReferProgress, desk: &mut Desk, now: Instant) -> Flow {
        let Phase::Transferring(transfer) = &mut self.phase else { return GO_ON };
        if matches!(transfer.step, Step::Announcing { .. }) {
            return GO_ON; // news of an earlier REFER, whose caller is back already
        }
        match progress {
            ReferProgress::Accepted => {
                if let Step::Referred { at } = transfer.step {
                    transfer.step = Step::Accepted { at };
                }
            }
            ReferProgress::Notified { status: 0..=199, .. } => {}
            ReferProgress::Notified { status: 200..=299, .. } => {
                // A NOTIFY may overtake the 202.
                if let Step::Referred { at } | Step::Accepted { at } = transfer.step {
                    let proof = Proof::of(now.saturating_duration_since(at));
                    transfer.step = Step::Settled { until: now + desk.settings.bye_after_transfer, proof };
                }
            }
            ReferProgress::Notified { status, .. } | ReferProgress::Refused(status) => {
                return self.transfer_failed(transfer::reason(status), desk, now);
            }
            ReferProgress::NoNotify => {
                return self.transfer_failed("the phone system did not say what became of it", desk, now);
            }
        }
        GO_ON
    }

    /// The caller is with us again, in the same dialog: the model is told why.
    pub(super) fn transfer_failed(&mut self, reason: &str, desk: &mut Desk, now: Instant) -> Flow {
        let Phase::Transferring(transfer) = std::mem::replace(&mut self.phase, Phase::Talking) else { return GO_ON };
        let Transfer { whom, destination, .. } = transfer;
        self.caller_is_back(now);
        // Whoever rang the target sent no audio of the caller's.
        self.media.wait_anew(now);
        desk.log.transfer_destination = None;
        desk.log.transcript.note(format!("[transfer to {destination} failed: {reason}]"), now);
        desk.emit(Event::TransferFailed { destination: destination.clone(), reason: reason.to_owned() });
        self.want_answer(desk.settings.ladder.answer, desk, now);
        let also = format!("the transfer to {destination} failed, too: {reason}");
        let name = match &whom {
            Whom::Rule(name) => name.clone(),
            Whom::Fallback => destination,
        };
        let failed = Note::TransferFailed { destination: name, reason: reason.to_owned() };
        if let Assistant::Gone { why, keys_until, .. } = &mut self.assistant {
            if keys_until.is_some() {
                *keys_until = Some(now + desk.settings.menu_deadline);
                self.provider.inform(failed, now);
                return GO_ON;
            }
            let cause = format!("{why}; {also}");
            return self.left_alone(&whom, cause, desk, now);
        }
        if whom == Whom::Fallback {
            return self.say_what_is_left(Outcome::Timeout, &format!("{}; {also}", budget::SPENT), desk, now);
        }
        self.provider.inform(failed, now);
        GO_ON
    }
}
