//! Places that are taken and given back, of which nobody has more than so many.
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Who has how many.
type Taken<K> = Arc<Mutex<BTreeMap<K, usize>>>;

/// Places, each for whoever takes it.
#[derive(Debug)]
pub struct Seats<K> {
    most: usize,
    taken: Taken<K>,
}

/// A place, until it is dropped.
#[derive(Debug)]
pub struct Seat<K: Ord> {
    of: K,
    taken: Taken<K>,
}

impl<K: Ord + Clone> Seats<K> {
    /// So many for each.
    pub fn new(most: usize) -> Self {
        Self { most, taken: Taken::default() }
    }

    /// A place for this one; `None` if it has as many as it may.
    pub fn take(&self, of: K) -> Option<Seat<K>> {
        let mut all = all(&self.taken);
        let count = all.get(&of).copied().unwrap_or_default();
        if count >= self.most {
            return None;
        }
        all.insert(of.clone(), count + 1);
        drop(all);
        Some(Seat { of, taken: Arc::clone(&self.taken) })
    }
}

impl<K: Ord> Drop for Seat<K> {
    fn drop(&mut self) {
        let mut all = all(&self.taken);
        match all.get_mut(&self.of) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) | None => drop(all.remove(&self.of)),
        }
    }
}

/// The map is whole after a panic, too.
fn all<K>(taken: &Taken<K>) -> MutexGuard<'_, BTreeMap<K, usize>> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_has_more_than_so_many_and_what_is_given_back_is_free() {
        let seats = Seats::new(2);
        let (one, _two) = (seats.take("a").unwrap(), seats.take("a").unwrap());
        assert!(seats.take("a").is_none());
        let other = seats.take("b").unwrap();
        drop(one);
        assert!(seats.take("a").is_some());
        drop(other);
        assert_eq!(all(&seats.taken).keys().copied().collect::<Vec<_>>(), ["a"], "who has none is forgotten");
    }
}
