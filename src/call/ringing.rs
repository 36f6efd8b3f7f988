//! A call that rings: the provider is being connected, and the caller hears ringing. One without an offer then waits for the
//! ACK, which brings the answer to ours.
use super::{Desk, End, Event, Hangup, succession::Failed};
use crate::{breaker::Sign, record::Outcome};
use media::{codec::Codec, prompt::Form, sdp};
use providers::{Dialect, Failure, FailureKind};
use std::{ops::ControlFlow, time::Instant};

/// What the 200 waits for.
#[derive(Debug)]
pub(super) struct Ringing {
    /// To the offer; the 200 to an INVITE without one has ours.
    pub(super) answer: Option<sdp::Agreed>,
    /// What the call sounds like; without an offer, the widest that it may sound like.
    pub(super) codec: Codec,
    pub(super) provider: Box<dyn Dialect>,
    /// The provider before this one.
    pub(super) failed: Option<Failed>,
    pub(super) ready_by: Instant,
}

/// What our 200 with an offer left to wait for the ACK: a provider that is ready.
#[derive(Debug)]
pub(super) struct Offering {
    pub(super) provider: Box<dyn Dialect>,
}

/// What a call may sound like at best whose answer is still to come. A provider that is connected for less stays narrow
/// for all of the call; one that is connected for more than the answer brings costs some bytes. Of codecs as wide as
/// each other, the one we like best.
pub(super) fn widest(codecs: &[Codec]) -> Codec {
    let wider = |best: Codec, codec: Codec| if codec.sample_rate() > best.sample_rate() { codec } else { best };
    codecs.iter().copied().reduce(wider).unwrap_or(Codec::Pcmu)
}

impl Offering {
    /// The call ends before its media: what the provider's first words cost is in it still.
    pub(super) fn settle_accounts(&mut self, desk: &mut Desk) {
        while let Some(event) = self.provider.poll_event() {
            match event {
                providers::Event::Usage(usage) => desk.used(&usage),
                providers::Event::Receipt(receipt) => desk.emit(Event::Receipt(receipt)),
                _ => {}
            }
        }
    }
}

impl Ringing {
    /// What packets of a sentence depend on, once that is known.
    pub(super) fn form(&self) -> Option<Form> {
        Form::of(&self.answer.as_ref()?.media)
    }

    /// The provider was not ready in time.
    pub(super) fn too_late(&mut self, desk: &mut Desk, now: Instant) -> ControlFlow<End> {
        let (kind, message) = (FailureKind::Connection, "it was not ready in time".to_owned());
        self.next(Failure { kind, message }, desk, now)
    }

    /// The provider failed: the next is connected, or the call refused, so that the phone system can go elsewhere.
    pub(super) fn next(&mut self, failure: Failure, desk: &mut Desk, now: Instant) -> ControlFlow<End> {
        let Failure { kind, message } = failure;
        desk.reports(Sign::Failed(kind));
        let cause = format!("{} failed ({kind:?}): {message}", desk.rung.provider());
        let failed = Failed::new(&desk.rung, kind, &message, now);
        let Some(rung) = desk.succession.next() else {
            return ControlFlow::Break(End { outcome: Outcome::Failed, cause, hangup: Hangup::Reject(503) });
        };
        desk.emit(Event::Warning(cause));
        desk.log.leave(&desk.rung, now);
        desk.rung = rung;
        self.failed = Some(failed.after(self.failed.take()));
        self.provider = desk.open(self.codec.format());
        desk.emit(Event::Connect(self.provider.endpoint()));
        self.ready_by = now + desk.patience();
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_as_wide_as_opus_and_of_what_is_as_wide_the_first_is_taken() {
        let all = [Codec::Pcmu, Codec::G722, Codec::L16Wide, Codec::Opus];
        assert_eq!(widest(&all), Codec::Opus);
        assert_eq!(widest(&all[..3]), Codec::G722);
        assert_eq!(widest(&[Codec::Pcma, Codec::Pcmu]), Codec::Pcma);
    }
}
