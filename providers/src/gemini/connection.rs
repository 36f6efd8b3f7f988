//! One connection after another: how far the one there is has come, when it must be left, and what the next goes on with.
use std::time::{Duration, Instant};

/// How long `setupComplete` may take.
const SETUP_WITHIN: Duration = Duration::from_secs(10);
/// Connections were seen to be closed after 58 minutes, without notice.
const LONGEST: Duration = Duration::from_secs(55 * 60);
/// How long after [`LONGEST`] a pause in the conversation is waited for.
const LINGER: Duration = Duration::from_secs(120);
/// How long the connection that is to follow may take to open while the one there is serves on.
const PREPARED_WITHIN: Duration = Duration::from_secs(3);
/// How long it is given to be set up before it takes over, where there is time.
const SET_UP_WITHIN: Duration = Duration::from_millis(500);
/// Of the time the server leaves us, so much is ours to leave in.
const MARGIN: Duration = Duration::from_secs(2);
/// What a connection that works is open for at the least.
const WORKS_AFTER: Duration = Duration::from_secs(5);
/// Waits before connecting again in a row; after the last the conversation is given up.
const BACK_OFF: [Duration; 2] = [Duration::ZERO, Duration::from_millis(500)];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Asked for, and not there yet.
    Opening,
    /// `setup` is sent.
    Setup {
        by: Instant,
    },
    /// All may be said.
    Open {
        leave: Leave,
    },
    /// It broke, and the next is asked for then.
    Broken {
        until: Instant,
    },
    Over,
}

/// Whether the connection is to be left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leave {
    /// Not before then.
    NotBefore(Instant),
    /// When nobody speaks, and by then in any case.
    By(Instant),
    /// It is to be left and cannot: the server gave no handle, or wants to be left time and again. It will be closed.
    Never,
}

/// Whether the server's word opens the conversation or only goes on with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opened {
    First,
    Again,
}

/// A deadline that passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    NoSetupComplete,
    Reconnect,
}

/// What a next connection goes on with.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Handle {
    /// None was given.
    None,
    /// The conversation as it is.
    Current(String),
    /// The conversation as it was: at some moments, as while a tool is called, the server gives no other.
    Past(String),
}

/// The connection that is to follow, opened while there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Ahead {
    /// What it goes on with.
    handle: String,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Asked for, and not waited for beyond then.
    Asked { until: Instant },
    /// It is there and `setup` is sent; the server is given until then to do it.
    SetUp { until: Instant },
    /// It can take over at any time.
    Ready,
    /// It was not to be had in time, or is not any more.
    GivenUp,
}

/// The connections of one conversation.
#[derive(Debug)]
pub(super) struct Connection {
    phase: Phase,
    opened: Opened,
    handle: Handle,
    ahead: Option<Ahead>,
    /// The one ahead went on from too early when it was to take over.
    outdated: bool,
    /// When it was set up.
    since: Option<Instant>,
    /// Connections in a row that were left or broke before they had worked.
    fruitless: usize,
}

impl Connection {
    pub(super) const fn new() -> Self {
        let (opened, handle) = (Opened::First, Handle::None);
        Self { phase: Phase::Opening, opened, handle, ahead: None, outdated: false, since: None, fruitless: 0 }
    }

    /// It is there; false when it was not asked for.
    pub(super) fn connected(&mut self, now: Instant) -> bool {
        let expected = self.phase == Phase::Opening;
        if expected {
            self.phase = Phase::Setup { by: now + SETUP_WITHIN };
        }
        expected
    }

    /// The handle for `setup`.
    pub(super) fn handle(&self) -> Option<&str> {
        match &self.handle {
            Handle::None => None,
            Handle::Current(handle) | Handle::Past(handle) => Some(handle),
        }
    }

    /// Whether the next goes on from an earlier moment than this: it will not know of calls made since.
    pub(super) fn goes_back(&self) -> bool {
        matches!(self.handle, Handle::Past(_))
    }

    /// `setupComplete`; `None` when it was not asked for.
    pub(super) fn set_up(&mut self, now: Instant) -> Option<Opened> {
        let Phase::Setup { .. } = self.phase else { return None };
        self.phase = Phase::Open { leave: Leave::NotBefore(now + LONGEST) };
        self.since = Some(now);
        Some(std::mem::replace(&mut self.opened, Opened::Again))
    }

    /// Something was said over it: it works, if it has been open for a while. A server that says a word and closes, again
    /// and again, does not.
    pub(super) fn worked(&mut self, now: Instant) {
        if self.since.is_some_and(|since| now >= since + WORKS_AFTER) {
            self.fruitless = 0;
        }
    }

    /// `sessionResumptionUpdate`, with a handle where the server can go on from this moment.
    pub(super) fn resumable(&mut self, handle: Option<String>, now: Instant) {
        self.handle = match (handle, std::mem::replace(&mut self.handle, Handle::None)) {
            (Some(handle), _) => Handle::Current(handle),
            (None, Handle::Current(handle) | Handle::Past(handle)) => Handle::Past(handle),
            (None, Handle::None) => Handle::None,
        };
        if let (Phase::Open { leave: leave @ Leave::Never }, Handle::Current(_)) = (&mut self.phase, &self.handle) {
            *leave = Leave::By(now);
        }
    }

    /// `goAway`: it will be closed after this long.
    pub(super) fn go_away(&mut self, left: Duration, now: Instant) {
        if let Phase::Open { leave } = &mut self.phase {
            *leave = Leave::By(now + left.saturating_sub(MARGIN));
        }
    }

    /// Whether the connection that is to follow is to be opened now; one that was opened before goes on from too early.
    pub(super) fn prepare(&mut self, now: Instant) -> bool {
        let Phase::Open { leave } = &mut self.phase else { return false };
        if let Leave::NotBefore(at) = *leave
            && at <= now
        {
            *leave = Leave::By(at + LINGER);
        }
        let leave = *leave;
        if let Some(ahead) = &mut self.ahead {
            ahead.stage = match ahead.stage {
                Stage::Asked { until } if until <= now => Stage::GivenUp,
                Stage::SetUp { until } if until <= now => Stage::Ready,
                stage => stage,
            };
        }
        let (Leave::By(by), Handle::Current(current)) = (leave, &self.handle) else { return false };
        if self.ahead.as_ref().is_some_and(|ahead| ahead.handle == *current) {
            return false;
        }
        if by <= now {
            return false; // there is no time for it
        }
        self.ahead = Some(Ahead { handle: current.clone(), stage: Stage::Asked { until: now + PREPARED_WITHIN } });
        true
    }

    /// The connection that is to follow is there: the handle for its `setup`; `None` when it was not asked for.
    pub(super) fn prepared(&mut self, now: Instant) -> Option<&str> {
        let ahead = self.ahead.as_mut()?;
        let Stage::Asked { .. } = ahead.stage else { return None };
        ahead.stage = Stage::SetUp { until: now + SET_UP_WITHIN };
        Some(&ahead.handle)
    }

    /// The connection that was to follow is not to be had, or not any more: it is not waited for.
    pub(super) fn unprepared(&mut self) {
        if let Some(ahead) = &mut self.ahead {
            ahead.stage = Stage::GivenUp;
        }
    }

    /// Until when the connection that is to follow is waited for.
    fn waits_until(&self) -> Option<Instant> {
        match self.ahead.as_ref()?.stage {
            Stage::Asked { until } | Stage::SetUp { until } => Some(until),
            Stage::Ready | Stage::GivenUp => None,
        }
    }

    /// The one that follows takes over, if it goes on from where the conversation is.
    fn follow(&mut self, now: Instant) {
        let ahead = self.ahead.take();
        self.outdated = ahead.as_ref().is_some_and(|ahead| self.handle() != Some(&ahead.handle));
        self.phase = match ahead.filter(|_| !self.outdated).map(|ahead| ahead.stage) {
            Some(Stage::SetUp { .. } | Stage::Ready) => Phase::Setup { by: now + SETUP_WITHIN },
            Some(Stage::Asked { .. } | Stage::GivenUp) | None => Phase::Opening,
        };
    }

    /// Whether the one that was opened before is of no use to what follows.
    pub(super) fn was_outdated(&mut self) -> bool {
        std::mem::take(&mut self.outdated)
    }

    /// Leaves it for another if that is due, and nobody would notice or there is no time to wait for that; true if so.
    pub(super) fn leave(&mut self, is_silent: bool, now: Instant) -> bool {
        let waits = self.waits_until().is_some_and(|until| until > now);
        let Phase::Open { leave: leave @ Leave::By(_) } = &mut self.phase else { return false };
        let Leave::By(by) = *leave else { return false };
        match &self.handle {
            Handle::Current(_) if ((is_silent && !waits) || by <= now) && self.fruitless < BACK_OFF.len() => {
                self.fruitless = self.fruitless.saturating_add(1);
                self.follow(now);
                true
            }
            Handle::None | Handle::Current(_) | Handle::Past(_) if by <= now => {
                *leave = Leave::Never;
                false
            }
            Handle::None | Handle::Current(_) | Handle::Past(_) => false,
        }
    }

    /// Leaves it at once, if there is anything to go on with.
    pub(super) fn replace(&mut self, now: Instant) -> bool {
        let can = matches!(self.phase, Phase::Open { .. }) && self.handle != Handle::None;
        if can {
            self.follow(now);
        }
        can
    }

    /// It broke, or was never there: whether another will be asked for, which [`Self::due`] tells when.
    pub(super) fn broke(&mut self, now: Instant) -> bool {
        let wait = BACK_OFF.get(self.fruitless).filter(|_| self.handle != Handle::None);
        let Some(wait) = wait else { return false };
        self.fruitless = self.fruitless.saturating_add(1);
        self.phase = Phase::Broken { until: now + *wait };
        true
    }

    /// What its deadline was for, if it has passed.
    pub(super) fn due(&mut self, now: Instant) -> Option<Due> {
        match self.phase {
            Phase::Setup { by } if by <= now => Some(Due::NoSetupComplete),
            Phase::Broken { until } if until <= now => {
                self.follow(now);
                Some(Due::Reconnect)
            }
            Phase::Opening | Phase::Setup { .. } | Phase::Open { .. } | Phase::Broken { .. } | Phase::Over => None,
        }
    }

    /// Nothing follows.
    pub(super) fn end(&mut self) {
        self.phase = Phase::Over;
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open { .. })
    }

    pub(super) fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    pub(super) fn deadline(&self) -> Option<(Instant, &'static str)> {
        match self.phase {
            Phase::Setup { by } => Some((by, "gemini setup complete")),
            Phase::Open { leave: Leave::NotBefore(at) } => Some((at, "gemini end of a connection")),
            Phase::Open { leave: Leave::By(by) } => {
                Some((self.waits_until().unwrap_or(by).min(by), "gemini end of a connection"))
            }
            Phase::Broken { until } => Some((until, "gemini next connection")),
            Phase::Open { leave: Leave::Never } | Phase::Opening | Phase::Over => None,
        }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the origin of virtual time")]
mod tests {
    use super::*;

    /// Sets a connection up and gives it a handle.
    fn open(connection: &mut Connection, now: Instant) {
        assert!(connection.connected(now) && connection.set_up(now).is_some());
        connection.resumable(Some("handle".into()), now);
    }

    #[test]
    fn a_server_that_always_wants_to_be_left_is_left_twice_in_a_row() {
        let (now, mut connection) = (Instant::now(), Connection::new());
        for left in [true, true, false] {
            open(&mut connection, now);
            connection.worked(now);
            connection.go_away(Duration::ZERO, now);
            assert_eq!(connection.leave(true, now), left);
        }
        assert!(!connection.broke(now), "and when it closes, that is the end");
    }

    #[test]
    fn a_connection_that_worked_for_a_while_counts_as_good() {
        let (mut now, mut connection) = (Instant::now(), Connection::new());
        for _ in 0..5 {
            open(&mut connection, now);
            now += WORKS_AFTER;
            connection.worked(now);
            assert!(connection.broke(now));
            assert_eq!(connection.due(now), Some(Due::Reconnect));
        }
    }
}
