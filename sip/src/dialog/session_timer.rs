//! Session timers, RFC 4028: how long a session lives without a sign of the peer, and whose turn it is to give one.
//!
//! Pure bookkeeping: the leg sends what is due here and says what became of it.
//!
//! One rule is ours. §10 has the side that does not refresh send BYE when the refresh stays out. Peers are seen in the
//! field that promise refreshes and send none while the call is alive, and a caller must not be lost for that: at that
//! very moment we refresh in the peer's place, and what ends the session is silence to *our* request (or 481). Whoever
//! answers it, with whatever status, has the dialog.
use crate::{
    message::{Headers, Name, Refresher as Side, SessionExpires},
    transaction::timer::{Deadline, earliest},
};
use std::time::{Duration, Instant};

/// §4: no interval is shorter, and we ask nobody for a longer one.
pub(crate) const MIN_SE: u32 = 90;
/// §10: a missing refresh is noticed this long before the session expires, or a third of the interval.
const MARGIN: Duration = Duration::from_secs(32);
/// The option tag of RFC 4028.
const TIMER: &str = "timer";

/// Who refreshes, whichever way the request goes that says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refresher {
    Us,
    Peer,
}

/// What a 2xx of ours grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    seconds: u32,
    refresher: Refresher,
    /// Whether the peer understands `Require: timer`.
    peer: Support,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Support {
    Timer,
    Unaware,
}

/// A request asks for an interval below [`MIN_SE`]: it gets 422.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooSmall;

/// What time brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    Nothing,
    /// A refresh must go out.
    Refresh,
    /// The interval is over, and nobody has answered a refresh.
    Expired,
}

/// The timer of one dialog.
#[derive(Clone, Debug)]
pub(crate) struct SessionTimer {
    /// Seconds that our first INVITE asks for.
    wanted: u32,
    /// The largest Min-SE heard in this dialog (§7.1).
    floor: u32,
    session: Option<Session>,
}

/// An interval that both sides agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Session {
    seconds: u32,
    refresher: Refresher,
    expires: Instant,
    refresh: Refresh,
}

/// The next refresh of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refresh {
    At(Instant),
    Sent,
}

impl SessionTimer {
    /// A timer that is off; our INVITE asks for `wanted`, rounded down to seconds.
    pub(crate) fn new(wanted: Duration) -> Self {
        let wanted = u32::try_from(wanted.as_secs()).unwrap_or(u32::MAX).max(MIN_SE);
        Self { wanted, floor: MIN_SE, session: None }
    }

    /// Headers of our first INVITE (§7.1). Who refreshes is left to the peer.
    pub(crate) fn ask(&self, headers: &mut Headers) {
        self.write(SessionExpires { seconds: self.wanted.max(self.floor), refresher: None }, headers);
    }

    /// Headers of our re-INVITE or UPDATE (§7.4): the interval in force, the roles as they are. Nothing if it is off.
    pub(crate) fn ask_again(&self, headers: &mut Headers) {
        let Some(session) = &self.session else { return };
        let refresher = Some(match session.refresher {
            Refresher::Us => Side::Uac,
            Refresher::Peer => Side::Uas,
        });
        self.write(SessionExpires { seconds: session.seconds.max(self.floor), refresher }, headers);
    }

    fn write(&self, value: SessionExpires, headers: &mut Headers) {
        headers.set(Name::SessionExpires, value.to_string());
        // §7.1: a Min-SE that was heard is repeated; 90 goes without saying (§5).
        if self.floor > MIN_SE {
            headers.set(Name::MinSe, self.floor.to_string());
        }
    }

    /// A 422 to `request`, a request of ours (§7.3): it gets the interval that the peer accepts. `false` if the 422
    /// names none that is longer than the one refused.
    pub(crate) fn lengthen(&mut self, refusal: &Headers, request: &mut Headers) -> bool {
        let (Some(min), Some(asked)) = (refusal.min_se(), request.session_expires()) else { return false };
        if min <= asked.seconds {
            return false;
        }
        self.floor = self.floor.max(min);
        self.write(SessionExpires { seconds: self.floor, ..asked }, request);
        true
    }

    /// A 2xx to our INVITE or UPDATE (§7.2): the interval begins anew, or is no more.
    pub(crate) fn granted(&mut self, response: &Headers, now: Instant) {
        self.session = response.session_expires().map(|granted| {
            let refresher = match granted.refresher {
                Some(Side::Uas) => Refresher::Peer,
                // A proxy that speaks for a peer without timers names us (§8.2).
                Some(Side::Uac) | None => Refresher::Us,
            };
            // §9 forbids less, and a tiny interval would make us flood the peer.
            Session::new(granted.seconds.max(MIN_SE), refresher, now)
        });
    }

    /// What an INVITE, re-INVITE or UPDATE of the peer asks for (§9, table 2). `None`: its 2xx says nothing of timers.
    ///
    /// # Errors
    /// The interval is too small, and the peer would understand a 422.
    pub(crate) fn asked(&mut self, request: &Headers) -> Result<Option<Terms>, TooSmall> {
        let timer = request.lists(Name::Supported, TIMER) || request.lists(Name::Require, TIMER);
        let peer = if timer { Support::Timer } else { Support::Unaware };
        let min = request.min_se().unwrap_or(MIN_SE);
        let running = self.session;
        let Some(asked) = request.session_expires() else {
            self.floor = self.floor.max(min);
            // We ask for no timer that the peer did not ask for: dead media are found sooner by other means. One that
            // runs goes on, unless the peer does not know timers (any more).
            let again = |session: Session| Terms { seconds: session.seconds.max(min), peer, ..session.terms() };
            return Ok(running.filter(|_| timer).map(again));
        };
        match peer {
            Support::Timer if asked.seconds < MIN_SE => return Err(TooSmall),
            // Whoever set it broke §8.1, and the peer would not understand the 422.
            Support::Unaware if asked.seconds < MIN_SE => return Ok(None),
            Support::Timer | Support::Unaware => {}
        }
        self.floor = self.floor.max(min);
        let refresher = match (peer, asked.refresher) {
            (Support::Unaware, _) | (Support::Timer, Some(Side::Uas)) => Refresher::Us,
            (Support::Timer, Some(Side::Uac)) => Refresher::Peer,
            // Who wants the timer refreshes it, unless the roles are dealt already.
            (Support::Timer, None) => running.map_or(Refresher::Peer, |session| session.refresher),
        };
        Ok(Some(Terms { seconds: asked.seconds, refresher, peer }))
    }

    /// Our 2xx with these terms goes out.
    pub(crate) fn grant(&mut self, terms: Option<Terms>, now: Instant) {
        self.session = terms.map(|terms| Session::new(terms.seconds, terms.refresher, now));
    }

    /// Advances time. After [`Due::Refresh`] it is quiet until the outcome or the end of the interval.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Due {
        match &mut self.session {
            Some(session) if session.expires <= now => Due::Expired,
            Some(session) if matches!(session.refresh, Refresh::At(at) if at <= now) => {
                session.refresh = Refresh::Sent;
                // The peer's turn has passed, if it was the peer's.
                session.refresher = Refresher::Us;
                Due::Refresh
            }
            Some(_) | None => Due::Nothing,
        }
    }

    /// The refresh could not be sent, or must be sent again, then.
    pub(crate) fn refresh_at(&mut self, at: Instant) {
        if let Some(session) = &mut self.session {
            session.refresh = Refresh::At(at);
        }
    }

    /// The peer answered a refresh, though not with a 2xx: it is alive, and the interval begins anew.
    pub(crate) fn survived(&mut self, now: Instant) {
        if let Some(session) = self.session {
            self.session = Some(Session::new(session.seconds, session.refresher, now));
        }
    }

    /// The next deadline.
    pub(crate) fn poll_timeout(&self) -> Option<Deadline> {
        let session = self.session.as_ref()?;
        let refresh = match session.refresh {
            Refresh::At(at) => Some((at, "session refresh")),
            Refresh::Sent => None,
        };
        earliest([refresh, Some((session.expires, "session expiry"))])
    }
}

impl Session {
    fn new(seconds: u32, refresher: Refresher, now: Instant) -> Self {
        let interval = Duration::from_secs(seconds.into());
        let at = match refresher {
            Refresher::Us => interval / 2,
            Refresher::Peer => interval - MARGIN.min(interval / 3),
        };
        Self { seconds, refresher, expires: now + interval, refresh: Refresh::At(now + at) }
    }

    fn terms(&self) -> Terms {
        Terms { seconds: self.seconds, refresher: self.refresher, peer: Support::Timer }
    }
}

impl Terms {
    /// `Session-Expires` of the 2xx.
    pub(crate) fn session_expires(&self) -> String {
        let refresher = Some(match self.refresher {
            Refresher::Us => Side::Uas,
            Refresher::Peer => Side::Uac,
        });
        SessionExpires { seconds: self.seconds, refresher }.to_string()
    }

    /// `Require` of the 2xx: a must where the peer refreshes, and a should wherever it knows timers (§9).
    pub(crate) fn require(&self) -> Option<&'static str> {
        match self.peer {
            Support::Timer => Some(TIMER),
            Support::Unaware => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transaction::timer::epoch;

    fn headers(lines: &[(Name, &str)]) -> Headers {
        let mut headers = Headers::new();
        for (name, value) in lines {
            headers.push(*name, value);
        }
        headers
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// RFC 4028 §9, table 2, and the interval beside it.
    #[test]
    fn what_a_request_is_granted() {
        // (Supported, Session-Expires, Min-SE; Session-Expires and Require of the 2xx, or 422)
        type Granted = Result<Option<(&'static str, Option<&'static str>)>, TooSmall>;
        let table: [(&str, &str, &str, Granted); 12] = [
            ("timer", "120;refresher=uac", "120", Ok(Some(("120;refresher=uac", Some("timer"))))),
            ("timer", "120;refresher=uas", "", Ok(Some(("120;refresher=uas", Some("timer"))))),
            ("path, Timer", "1800", "", Ok(Some(("1800;refresher=uac", Some("timer"))))),
            ("path", "1800", "", Ok(Some(("1800;refresher=uas", None)))),
            ("", "1800;refresher=uac", "", Ok(Some(("1800;refresher=uas", None)))),
            ("timer", "", "", Ok(None)),
            ("", "", "", Ok(None)),
            ("timer", "soon", "", Ok(None)),
            ("timer", "90", "", Ok(Some(("90;refresher=uac", Some("timer"))))),
            ("timer", "89", "", Err(TooSmall)),
            ("timer", "0;refresher=uas", "", Err(TooSmall)),
            ("", "89", "", Ok(None)),
        ];
        for (supported, expires, min, expected) in table {
            let mut request = Headers::new();
            for (name, value) in [(Name::Supported, supported), (Name::SessionExpires, expires), (Name::MinSe, min)] {
                if !value.is_empty() {
                    request.push(name, value);
                }
            }
            let terms = SessionTimer::new(seconds(1800)).asked(&request);
            let granted = terms.as_ref().map(|terms| terms.map(|terms| (terms.session_expires(), terms.require())));
            let expected = expected.as_ref().map(|granted| granted.map(|(value, tag)| (value.to_owned(), tag)));
            assert_eq!(granted, expected, "{supported:?} {expires:?} {min:?}");
        }
    }

    #[test]
    fn roles_stay_as_they_are_dealt() {
        let start = epoch();
        let mut timer = SessionTimer::new(seconds(1800));
        let ours = timer.asked(&headers(&[(Name::Supported, "timer"), (Name::SessionExpires, "120;refresher=uas")]));
        timer.grant(ours.unwrap(), start);
        let mut request = Headers::new();
        timer.ask_again(&mut request);
        assert_eq!(request.first(Name::SessionExpires), Some("120;refresher=uac"));
        // A request that names nobody, or no interval, changes nothing; a peer without timers ends it.
        for (lines, expected) in [
            (&[(Name::Supported, "timer"), (Name::SessionExpires, "180")][..], Some("180;refresher=uas")),
            (&[(Name::Supported, "timer")], Some("120;refresher=uas")),
            (&[(Name::Supported, "timer"), (Name::MinSe, "150")], Some("150;refresher=uas")),
            (&[], None),
        ] {
            let terms = timer.asked(&headers(lines)).unwrap();
            assert_eq!(terms.map(|terms| terms.session_expires()).as_deref(), expected, "{lines:?}");
        }
    }

    #[test]
    fn a_422_raises_the_interval_and_its_min_se_is_repeated() {
        let mut timer = SessionTimer::new(seconds(60));
        let mut request = Headers::new();
        timer.ask(&mut request);
        assert_eq!((request.session_expires().map(|e| e.seconds), request.min_se()), (Some(90), None));
        assert!(!timer.lengthen(&Headers::new(), &mut request));
        assert!(!timer.lengthen(&headers(&[(Name::MinSe, "90")]), &mut request));
        assert!(timer.lengthen(&headers(&[(Name::MinSe, "3600")]), &mut request));
        assert_eq!((request.session_expires().map(|e| e.seconds), request.min_se()), (Some(3600), Some(3600)));
        timer.granted(&headers(&[(Name::SessionExpires, "3600;refresher=uac")]), epoch());
        let mut refresh = Headers::new();
        timer.ask_again(&mut refresh);
        assert_eq!(refresh.first(Name::SessionExpires), Some("3600;refresher=uac"));
        assert_eq!(refresh.min_se(), Some(3600));
    }

    /// RFC 4028 §7.2 and §10: who refreshes when, and when it is over.
    #[test]
    fn deadlines_by_what_was_granted() {
        // (Session-Expires of the 2xx, refresh after, expiry after)
        let table = [
            ("1800;refresher=uac", 900, 1800),
            ("1800", 900, 1800),
            ("1800;refresher=uas", 1768, 1800),
            ("90;refresher=uac", 45, 90),
            ("90;refresher=uas", 60, 90),
            ("20;refresher=uac", 45, 90),
            ("0", 45, 90),
            ("4294967295;refresher=uac", 2_147_483_647, 4_294_967_295),
        ];
        for (granted, refresh, expiry) in table {
            let start = epoch();
            let mut timer = SessionTimer::new(seconds(1800));
            timer.granted(&headers(&[(Name::SessionExpires, granted)]), start);
            let at = |timer: &SessionTimer| timer.poll_timeout().map(|(at, _)| (at - start).as_secs());
            assert_eq!(at(&timer), Some(refresh), "{granted}");
            assert_eq!(timer.handle_timeout(start + seconds(refresh) - seconds(1)), Due::Nothing);
            assert_eq!(timer.handle_timeout(start + seconds(refresh + 1)), Due::Refresh);
            assert_eq!(at(&timer), Some(expiry), "{granted}");
            assert_eq!(timer.handle_timeout(start + seconds(expiry)), Due::Expired);
        }
    }

    #[test]
    fn a_2xx_without_session_expires_turns_it_off() {
        let start = epoch();
        let mut timer = SessionTimer::new(seconds(1800));
        timer.granted(&headers(&[(Name::SessionExpires, "90;refresher=uac")]), start);
        timer.granted(&Headers::new(), start);
        assert_eq!((timer.poll_timeout(), timer.handle_timeout(start + seconds(1000))), (None, Due::Nothing));
    }

    #[test]
    fn who_answers_a_refresh_at_all_lives() {
        let start = epoch();
        let mut timer = SessionTimer::new(seconds(1800));
        timer.granted(&headers(&[(Name::SessionExpires, "90;refresher=uas")]), start);
        assert_eq!(timer.handle_timeout(start + seconds(60)), Due::Refresh);
        timer.refresh_at(start + seconds(63));
        assert_eq!(timer.handle_timeout(start + seconds(63)), Due::Refresh);
        timer.survived(start + seconds(64));
        // From here on the refreshes are ours.
        assert_eq!(timer.poll_timeout().map(|(at, _)| (at - start).as_secs()), Some(64 + 45));
    }
}
