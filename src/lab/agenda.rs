//! What a simulated server will do whatever its client does, by time.
use std::{collections::BTreeMap, fmt::Debug, time::Instant};

/// Tasks by time, then in the order in which they were scheduled.
#[derive(Debug)]
pub(in crate::lab) struct Agenda<Task> {
    tasks: BTreeMap<(Instant, u64), Task>,
    scheduled: u64,
}

/// What has come due.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::lab) enum Due<Task> {
    /// This, at its time.
    Task(Instant, Task),
    /// The next beat of what is being said, at its time.
    Beat(Instant),
}

impl<Task> Default for Agenda<Task> {
    fn default() -> Self {
        Self { tasks: BTreeMap::new(), scheduled: 0 }
    }
}

impl<Task> Agenda<Task> {
    pub(in crate::lab) fn schedule(&mut self, at: Instant, task: Task) {
        self.scheduled += 1;
        self.tasks.insert((at, self.scheduled), task);
    }

    /// When the first task is due.
    pub(in crate::lab) fn next(&self) -> Option<Instant> {
        self.tasks.first_key_value().map(|((at, _), _)| *at)
    }

    /// The first of the tasks and the next beat, if its time has come; a task before a beat of the same instant.
    pub(in crate::lab) fn due(&mut self, beat: Option<Instant>, now: Instant) -> Option<Due<Task>> {
        let beat = beat.filter(|at| *at <= now);
        let task = self.next().filter(|at| *at <= now && beat.is_none_or(|beat| *at <= beat));
        match task {
            Some(_) => self.tasks.pop_first().map(|((at, _), task)| Due::Task(at, task)),
            None => beat.map(Due::Beat),
        }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the origin of virtual time")]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn tasks_and_beats_come_by_time_and_none_before_its_own() {
        let (mut agenda, now) = (Agenda::default(), Instant::now());
        let at = |ms| now + Duration::from_millis(ms);
        agenda.schedule(at(20), 'c');
        agenda.schedule(at(10), 'a');
        agenda.schedule(at(10), 'b');
        assert_eq!((agenda.due(None, at(9)), agenda.next()), (None, Some(at(10))));
        assert_eq!(agenda.due(Some(at(10)), at(15)), Some(Due::Task(at(10), 'a')));
        assert_eq!(agenda.due(Some(at(9)), at(15)), Some(Due::Beat(at(9))));
        assert_eq!(agenda.due(None, at(15)), Some(Due::Task(at(10), 'b')));
        assert_eq!(agenda.due(Some(at(16)), at(15)), None);
    }
}
