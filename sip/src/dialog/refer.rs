//! Our REFER and the subscription it makes: RFC 3515 §2.4, with the forms FreeSWITCH sends.
use crate::{leg::ReferProgress, transaction::timer::Deadline};
use std::time::{Duration, Instant};

/// One referral; a dialog has one at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Referral {
    /// CSeq of the REFER: the `id` of its NOTIFYs.
    cseq: u32,
    notify_deadline: Duration,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// No response to the REFER yet.
    Sent,
    /// Taken on; a final NOTIFY is due.
    Accepted { until: Instant },
    /// A final status came, but the subscription lives on.
    Settled,
    /// Refused, ended or given up.
    Over,
}

/// What a NOTIFY says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Notice {
    /// Status of the sipfrag, if there is one.
    pub(crate) status: Option<u16>,
    /// `Subscription-State: terminated`.
    pub(crate) terminated: bool,
}

impl Referral {
    /// The REFER with this CSeq has just been sent.
    pub(crate) fn new(cseq: u32, notify_deadline: Duration) -> Self {
        Self { cseq, notify_deadline, state: State::Sent }
    }

    /// The REFER was sent again with another CSeq, after a challenge.
    pub(crate) fn resent(&mut self, cseq: u32) {
        self.cseq = cseq;
    }

    /// Whether a NOTIFY with this `id` belongs here; without `id` it means the only referral there is.
    pub(crate) fn owns(&self, id: Option<&str>) -> bool {
        self.state != State::Over && id.is_none_or(|id| id.parse() == Ok(self.cseq))
    }

    /// Whether another REFER may be sent.
    pub(crate) fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// The final response to the REFER; 408 and 503 when there was none.
    pub(crate) fn handle_response(&mut self, status: u16, now: Instant) -> Option<ReferProgress> {
        match (self.state, status) {
            (State::Sent, 200..300) => {
                self.state = State::Accepted { until: now + self.notify_deadline };
                Some(ReferProgress::Accepted)
            }
            (State::Sent, 300..) => {
                self.state = State::Over;
                Some(ReferProgress::Refused(status))
            }
            // A NOTIFY was faster than the 202 and has said it all.
            (State::Sent | State::Accepted { .. } | State::Settled | State::Over, _) => None,
        }
    }

    /// A NOTIFY of this referral. It may come before the 202, which then is implied.
    pub(crate) fn handle_notify(&mut self, notice: Notice, now: Instant) -> Vec<ReferProgress> {
        let mut progress = Vec::new();
        if self.state == State::Sent {
            self.state = State::Accepted { until: now + self.notify_deadline };
            progress.push(ReferProgress::Accepted);
        }
        let was_settled = self.state == State::Settled;
        if notice.status.is_some_and(|status| status >= 200) {
            self.state = State::Settled;
        }
        match notice.status {
            Some(status) => progress.push(ReferProgress::Notified { status, terminated: notice.terminated }),
            // Ended without a word about the outcome.
            None if notice.terminated && !was_settled => progress.push(ReferProgress::NoNotify),
            None => {}
        }
        if notice.terminated {
            self.state = State::Over;
        }
        progress
    }

    /// Advances time.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Option<ReferProgress> {
        match self.state {
            State::Accepted { until } if until <= now => {
                self.state = State::Over;
                Some(ReferProgress::NoNotify)
            }
            State::Sent | State::Accepted { .. } | State::Settled | State::Over => None,
        }
    }

    /// The next deadline.
    pub(crate) fn poll_timeout(&self) -> Option<Deadline> {
        match self.state {
            State::Accepted { until } => Some((until, "final NOTIFY of a REFER")),
            State::Sent | State::Settled | State::Over => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transaction::timer::epoch;

    const WAIT: Duration = Duration::from_secs(30);

    fn notice(status: impl Into<Option<u16>>, terminated: bool) -> Notice {
        Notice { status: status.into(), terminated }
    }

    #[test]
    fn accepted_then_notified() {
        let start = epoch();
        let mut referral = Referral::new(776, WAIT);
        assert_eq!(referral.handle_response(202, start), Some(ReferProgress::Accepted));
        assert!(referral.owns(Some("776")) && referral.owns(None) && !referral.owns(Some("775")));
        let ringing = ReferProgress::Notified { status: 180, terminated: false };
        assert_eq!(referral.handle_notify(notice(180, false), start), [ringing]);
        let busy = ReferProgress::Notified { status: 486, terminated: true };
        assert_eq!(referral.handle_notify(notice(486, true), start), [busy]);
        assert!(referral.is_over() && !referral.owns(None));
        assert_eq!(referral.poll_timeout(), None);
    }

    #[test]
    fn a_notify_before_the_202_implies_it() {
        let start = epoch();
        let mut referral = Referral::new(1, WAIT);
        let done = ReferProgress::Notified { status: 200, terminated: true };
        assert_eq!(referral.handle_notify(notice(200, true), start), [ReferProgress::Accepted, done]);
        assert_eq!(referral.handle_response(202, start), None);
    }

    #[test]
    fn silence_after_the_202_has_a_deadline() {
        let start = epoch();
        let mut referral = Referral::new(1, WAIT);
        referral.handle_response(202, start);
        referral.handle_notify(notice(100, false), start + WAIT / 2);
        assert_eq!(referral.handle_timeout(start + WAIT - Duration::from_millis(1)), None);
        assert_eq!(referral.handle_timeout(start + WAIT), Some(ReferProgress::NoNotify));
        assert!(referral.is_over());
    }

    #[test]
    fn a_subscription_that_ends_without_a_status_says_nothing_of_the_outcome() {
        let start = epoch();
        let mut referral = Referral::new(1, WAIT);
        referral.handle_response(202, start);
        assert_eq!(referral.handle_notify(notice(None, true), start), [ReferProgress::NoNotify]);
        let mut referral = Referral::new(1, WAIT);
        referral.handle_response(202, start);
        referral.handle_notify(notice(200, false), start);
        assert_eq!(referral.handle_notify(notice(None, true), start), []);
    }

    #[test]
    fn a_refusal_ends_it() {
        let mut referral = Referral::new(1, WAIT);
        assert_eq!(referral.handle_response(403, epoch()), Some(ReferProgress::Refused(403)));
        assert!(referral.is_over());
    }
}
