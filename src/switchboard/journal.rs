//! The last things that happened, numbered for each tenant by itself: no number tells of another's.
use super::{Entry, Happening};
use chrono::{DateTime, Utc};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};
use uuid::Uuid;

/// Entries kept for a tenant, and for the administrator.
const OF_TENANT: usize = 256;
const OF_ALL: usize = 1_024;
/// Tenants of whom any are kept; beyond it the one goes of whom nothing has been heard for longest.
const TENANTS: usize = 1_024;

/// What happened.
#[derive(Debug, Default)]
pub struct Journal {
    tenants: BTreeMap<Uuid, Shelf>,
    all: Shelf,
}

/// Numbers begin at the microsecond of the first entry, so that those of an earlier run are lower.
#[derive(Debug, Default)]
struct Shelf {
    first: u64,
    last: u64,
    kept: VecDeque<(u64, Arc<Entry>)>,
}

impl Shelf {
    fn begin(&mut self, at: DateTime<Utc>) -> &mut Self {
        if self.first == 0 {
            self.last = u64::try_from(at.timestamp_micros()).unwrap_or_default().max(1);
            self.first = self.last + 1;
        }
        self
    }

    fn push(&mut self, entry: Arc<Entry>, most: usize) {
        self.begin(entry.at);
        self.last += 1;
        if self.kept.len() >= most {
            self.kept.pop_front();
        }
        self.kept.push_back((self.last, entry));
    }

    fn next(&self, after: u64) -> Next {
        // A number of an earlier run, or of nobody's: how much was missed is not known.
        let known = (self.first - 1..=self.last).contains(&after);
        match self.kept.iter().find(|(number, _)| !known || *number > after) {
            None if known => Next::Nothing,
            None => Next::Missed { events: None, after: self.last },
            Some((number, entry)) if known && *number == after + 1 => Next::Entry(*number, Arc::clone(entry)),
            Some((number, _)) => {
                let after = known.then(|| number - after - 1);
                Next::Missed { events: after, after: number - 1 }
            }
        }
    }
}

/// What a reader is told next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// This, by its number.
    Entry(u64, Arc<Entry>),
    /// So many are not kept any more; `None` where the number is not of this run.
    Missed {
        /// How many.
        events: Option<u64>,
        /// What to go on after.
        after: u64,
    },
    /// Nothing has happened since.
    Nothing,
}

impl Journal {
    /// Something happened; `None` for what concerns the server alone.
    pub fn push(&mut self, domain: Option<Uuid>, what: Happening, at: DateTime<Utc>) {
        let entry = Arc::new(Entry { at, domain_uuid: domain, what });
        if let Some(domain) = domain {
            self.shelf(domain).push(Arc::clone(&entry), OF_TENANT);
        }
        self.all.push(entry, OF_ALL);
    }

    /// The number that a reader who wants what happens from now on goes on after.
    pub fn last(&mut self, domain: Option<Uuid>, at: DateTime<Utc>) -> u64 {
        let shelf = match domain {
            Some(domain) => self.shelf(domain),
            None => &mut self.all,
        };
        shelf.begin(at).last
    }

    /// What follows this number; `None` is the administrator, who hears everything.
    pub fn next(&self, domain: Option<Uuid>, after: u64) -> Next {
        let shelf = match domain {
            Some(domain) => self.tenants.get(&domain),
            None => Some(&self.all),
        };
        shelf.filter(|shelf| shelf.first > 0).map_or(Next::Nothing, |shelf| shelf.next(after))
    }

    fn shelf(&mut self, domain: Uuid) -> &mut Shelf {
        if !self.tenants.contains_key(&domain) && self.tenants.len() >= TENANTS {
            let idle = self.tenants.iter().min_by_key(|(_, shelf)| shelf.kept.back().map(|(_, entry)| entry.at));
            if let Some(domain) = idle.map(|(domain, _)| *domain) {
                self.tenants.remove(&domain);
            }
        }
        self.tenants.entry(domain).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::iter;

    const ANA: Uuid = Uuid::from_u128(1);
    const BIA: Uuid = Uuid::from_u128(2);

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_790_000_000 + second, 0).unwrap()
    }

    fn answered(n: u128) -> Happening {
        Happening::CallAnswered { conversation_uuid: Uuid::from_u128(n) }
    }

    /// Everything a reader is told, and where it is then.
    fn read(journal: &Journal, domain: Option<Uuid>, mut after: u64) -> (Vec<Next>, u64) {
        let told = iter::from_fn(|| {
            let next = journal.next(domain, after);
            after = match &next {
                Next::Entry(number, _) => *number,
                Next::Missed { after, .. } => *after,
                Next::Nothing => return None,
            };
            Some(next)
        });
        (told.collect(), after)
    }

    fn heard(told: &[Next]) -> Vec<Option<Uuid>> {
        let domain = |next: &Next| match next {
            Next::Entry(_, entry) => Some(entry.domain_uuid),
            Next::Missed { .. } | Next::Nothing => None,
        };
        told.iter().filter_map(domain).collect()
    }

    #[test]
    fn a_tenant_hears_its_own_and_its_numbers_tell_of_no_other() {
        let mut journal = Journal::default();
        let from = journal.last(Some(ANA), at(0));
        for n in 0..9 {
            let domain = [Some(ANA), Some(BIA), None][n % 3];
            journal.push(domain, answered(n as u128), at(1));
        }
        let (told, last) = read(&journal, Some(ANA), from);
        assert_eq!(heard(&told), [Some(ANA); 3]);
        assert_eq!(last, from + 3, "numbers without a gap");
        let all = journal.last(None, at(2));
        assert_eq!(heard(&read(&journal, None, all - 9).0).len(), 9);
    }

    #[test]
    fn a_slow_reader_is_told_how_many_it_missed() {
        let mut journal = Journal::default();
        let from = journal.last(Some(ANA), at(0));
        let more = 7;
        for n in 0..OF_TENANT + more {
            journal.push(Some(ANA), answered(n as u128), at(1));
        }
        let (told, last) = read(&journal, Some(ANA), from);
        assert_eq!(told[0], Next::Missed { events: Some(more as u64), after: from + more as u64 });
        assert_eq!((heard(&told).len(), last), (OF_TENANT, from + (OF_TENANT + more) as u64));
    }

    #[test]
    fn a_number_of_an_earlier_run_gives_what_there_is() {
        let mut journal = Journal::default();
        let old = journal.last(Some(ANA), at(0));
        journal.push(Some(ANA), answered(1), at(0));
        let mut journal = Journal::default();
        assert_eq!(journal.next(Some(ANA), old + 1), Next::Nothing);
        journal.push(Some(ANA), answered(2), at(60));
        for number in [old + 1, 0, u64::MAX] {
            let (told, last) = read(&journal, Some(ANA), number);
            assert!(matches!(told[0], Next::Missed { events: None, .. }), "{told:?}");
            assert_eq!((heard(&told).len(), last), (1, journal.last(Some(ANA), at(61))));
        }
    }

    #[test]
    fn the_tenant_goes_of_whom_nothing_was_heard_for_longest() {
        let mut journal = Journal::default();
        for n in 0..TENANTS as u128 + 1 {
            journal.push(Some(Uuid::from_u128(n)), answered(n), at(n as i64));
        }
        assert_eq!(journal.tenants.len(), TENANTS);
        assert!(!journal.tenants.contains_key(&Uuid::from_u128(0)));
    }
}
