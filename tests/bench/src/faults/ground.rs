//! Calls that come and go while what the server leans on is taken away and given back. Nothing that a call does ends the
//! measurement: it is counted.
use super::{
    Backs,
    books::Told,
    disk::Tape,
    plan::{self, Phase, Row, Thing},
};
use crate::{
    analysis::Window,
    phones::{Floors, Line, Phones},
    progress::Progress,
    speech::Voice,
    uac::{CallId, Event, Uac},
};
use anyhow::{Context, Result, ensure};
use std::{
    collections::{BTreeMap, VecDeque},
    ops::Range,
    sync::Arc,
    time::{Duration, Instant},
};

/// Calls come in groups, of which the oldest ends and a new one is placed …
pub(super) const GROUPS: usize = 5;
/// … this often.
pub(super) const BETWEEN: Duration = Duration::from_secs(24);
/// The first groups are placed so far apart.
const APART: Duration = Duration::from_secs(1);
/// How long the calls of a group may take to end, whatever becomes of them: an INVITE and a BYE have 8 s each.
const PATIENCE: Duration = Duration::from_secs(20);
/// What a call's first packets do not count for: it is still being set up.
pub(super) const SETTLE: Duration = Duration::from_secs(2);
/// How often is looked what is up.
const LOOK: Duration = Duration::from_secs(1);

/// Who calls whom.
pub(super) struct Crew {
    pub(super) uac: Uac,
    pub(super) voice: Voice,
    pub(super) floors: Arc<Floors>,
    /// Calls of a group.
    pub(super) group: usize,
}

/// One call.
#[derive(Clone, Copy, Debug)]
struct Call {
    /// The phase in which it was placed.
    begun: usize,
    answered: Option<Instant>,
    /// In which phase, and when.
    over: Option<(usize, Instant)>,
}

/// Calls that were placed together.
struct Group {
    phones: Phones,
    /// The call of its first phone; those of the others follow.
    calls: Range<CallId>,
}

/// What is left when all calls are over.
#[derive(Debug)]
pub(super) struct Notes {
    pub(super) rows: Vec<Row>,
    pub(super) told: Vec<Told>,
    /// Why calls were refused or dropped.
    pub(super) whys: BTreeMap<String, usize>,
    /// Recordings that were taken from the disk so far.
    pub(super) tapes: BTreeMap<String, Tape>,
}

impl Notes {
    fn row(&mut self, phase: usize) -> Result<&mut Row> {
        self.rows.get_mut(phase).context("no such phase")
    }
}

/// Everything that goes on.
pub(super) struct Ground<'a> {
    backs: &'a mut Backs,
    show: &'a Progress,
    crew: Crew,
    phases: &'a [Phase],
    /// When those began that have.
    starts: Vec<Instant>,
    calls: Vec<Call>,
    groups: VecDeque<Group>,
    looked: Instant,
    up: usize,
    notes: Notes,
}

impl<'a> Ground<'a> {
    pub(super) fn new(backs: &'a mut Backs, show: &'a Progress, crew: Crew, phases: &'a [Phase]) -> Self {
        let rows = vec![Row::default(); phases.len()];
        let notes = Notes { rows, told: Vec::new(), whys: BTreeMap::new(), tapes: BTreeMap::new() };
        let (starts, calls, groups) = (Vec::new(), Vec::new(), VecDeque::new());
        Self { backs, show, crew, phases, starts, calls, groups, looked: Instant::now(), up: 0, notes }
    }

    /// From the first call to the last.
    pub(super) fn run(mut self) -> Result<Notes> {
        self.enter(0)?;
        for place in 0..GROUPS {
            self.place(place)?;
            self.pump(APART)?;
        }
        for place in (0..GROUPS).cycle() {
            self.pump(BETWEEN)?;
            if self.is_over() {
                break;
            }
            self.end_oldest()?;
            self.place(place)?;
        }
        while !self.groups.is_empty() {
            self.end_oldest()?;
        }
        let told = |(number, call): (usize, &Call)| {
            let (ended, _) = call.over?;
            Some(Told {
                id: self.crew.uac.call_id(number),
                begun: call.begun,
                ended,
                answered: call.answered.is_some(),
            })
        };
        self.notes.told = self.calls.iter().enumerate().filter_map(told).collect();
        Ok(self.notes)
    }

    /// The phase that goes on.
    fn phase(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    fn is_over(&self) -> bool {
        self.starts.len() == self.phases.len() && self.has_lasted()
    }

    fn has_lasted(&self) -> bool {
        let length = self.phases.get(self.phase()).map_or(Duration::ZERO, |phase| phase.length);
        self.starts.last().is_some_and(|start| start.elapsed() >= length)
    }

    fn lacks(&self, thing: Thing) -> bool {
        self.phases.get(self.phase()).is_some_and(|phase| phase.lacks(thing))
    }

    /// Takes away what is away in a phase, gives back what is not, and begins it.
    fn enter(&mut self, number: usize) -> Result<()> {
        let phase = *self.phases.get(number).context("no such phase")?;
        self.show.phase(phase.name, phase.length);
        for thing in Thing::ALL {
            match (!self.starts.is_empty() && self.lacks(thing), phase.lacks(thing)) {
                (false, true) => {
                    self.harvest()?;
                    self.backs.take_away(thing)?;
                }
                (true, false) => self.backs.give_back(thing)?,
                (true, true) | (false, false) => {}
            }
        }
        self.starts.push(Instant::now());
        Ok(())
    }

    /// Places the calls of a group.
    fn place(&mut self, place: usize) -> Result<()> {
        let Crew { uac, voice, floors, group } = &mut self.crew;
        let numbers = place * *group..(place + 1) * *group;
        let phones = Phones::start(numbers, voice.clone(), Arc::clone(floors))?;
        let first = self.calls.len();
        let begun = self.starts.len().saturating_sub(1);
        for phone in 0..*group {
            uac.place(phones.port(phone)?)?;
            self.calls.push(Call { begun, answered: None, over: None });
        }
        let calls = first..self.calls.len();
        self.notes.row(begun)?.begun += calls.len();
        self.groups.push_back(Group { phones, calls });
        Ok(())
    }

    /// Hangs up for the oldest group, and works out what its phones heard.
    fn end_oldest(&mut self) -> Result<()> {
        let Some(Group { phones, calls }) = self.groups.pop_front() else { return Ok(()) };
        let (until, deadline) = (Instant::now(), Instant::now() + PATIENCE);
        while self.calls.get(calls.clone()).unwrap_or_default().iter().any(|call| call.over.is_none()) {
            ensure!(Instant::now() < deadline, "calls {calls:?} do not end");
            // Those that are up; one may be answered only now.
            calls.clone().try_for_each(|call| self.crew.uac.hang_up(call))?;
            self.step(deadline)?;
        }
        self.harvest()?;
        for (call, line) in calls.zip(phones.stop()?) {
            self.hear(call, &line, until);
        }
        Ok(())
    }

    fn hear(&mut self, call: CallId, line: &Line, until: Instant) {
        let Some(Call { answered: Some(answered), over: Some((_, over)), .. }) = self.calls.get(call).copied() else {
            return;
        };
        let whole = Window { from: answered + SETTLE, until: until.min(over) };
        plan::share_out(&mut self.notes.rows, &self.starts, line, whole);
    }

    /// Takes finished recordings from the disk, unless that would make room where there is to be none.
    fn harvest(&mut self) -> Result<()> {
        if self.starts.is_empty() || self.lacks(Thing::Disk) {
            return Ok(());
        }
        self.backs.disk.harvest(&mut self.notes.tapes)
    }

    /// Lets time pass, no longer than the last phase lasts.
    fn pump(&mut self, time: Duration) -> Result<()> {
        let until = Instant::now() + time;
        while Instant::now() < until && !self.is_over() {
            self.step(until)?;
        }
        Ok(())
    }

    /// What happens next, within a tenth of a second.
    fn step(&mut self, until: Instant) -> Result<()> {
        for event in self.crew.uac.step(until)? {
            self.on_event(event)?;
        }
        if self.has_lasted() && self.starts.len() < self.phases.len() {
            self.enter(self.starts.len())?;
        }
        if self.looked.elapsed() >= LOOK {
            self.looked = Instant::now();
            let (phase, up) = (self.phase(), self.up);
            self.notes.row(phase)?.up.push(up);
            if self.lacks(Thing::Disk) {
                // What others gave back is taken, too.
                self.backs.disk.fill()?;
            }
        }
        Ok(())
    }

    fn on_event(&mut self, event: Event) -> Result<()> {
        let (now, phase) = (Instant::now(), self.phase());
        let (Event::Answered { call: number, .. } | Event::Ended { call: number } | Event::Failed { call: number, .. }) =
            event;
        let call = self.calls.get_mut(number).context("an unknown call")?;
        let was_up = call.answered.is_some();
        match event {
            Event::Answered { rtp, took, .. } => {
                call.answered = Some(now);
                self.up += 1;
                let row = self.notes.row(call.begun)?;
                row.answered += 1;
                row.setup_ms.push(took.as_secs_f64() * 1_000.0);
                if let Some(group) = self.groups.iter().find(|group| group.calls.contains(&number)) {
                    group.phones.connect(number - group.calls.start, rtp);
                }
            }
            Event::Ended { .. } => {
                call.over = Some((phase, now));
                self.up = self.up.saturating_sub(1);
            }
            Event::Failed { why, .. } => {
                call.over = Some((phase, now));
                match was_up {
                    true => self.notes.row(phase)?.dropped += 1,
                    false => self.notes.row(call.begun)?.refused += 1,
                }
                self.up = self.up.saturating_sub(was_up.into());
                *self.notes.whys.entry(why).or_default() += 1;
            }
        }
        Ok(())
    }
}
