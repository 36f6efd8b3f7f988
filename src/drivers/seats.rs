//! How many may do the same at once: one of each tenant, and some of all.
use crate::api::Untried;
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use uuid::Uuid;

/// Seats for so many; held for a look at a list.
#[derive(Clone, Debug)]
pub(super) struct Seats {
    most: usize,
    taken: Arc<Mutex<BTreeSet<Uuid>>>,
}

/// A seat that is taken, until this is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    domain: Uuid,
    seats: Seats,
}

impl Seats {
    pub(super) fn new(most: usize) -> Self {
        Self { most, taken: Arc::default() }
    }

    /// That of a tenant.
    ///
    /// # Errors
    /// It has it already, or all are taken.
    pub(super) fn take(&self, domain: Uuid) -> Result<Seat, Untried> {
        let mut taken = self.taken();
        if taken.contains(&domain) {
            return Err(Untried::Engaged);
        }
        if taken.len() >= self.most {
            return Err(Untried::Busy);
        }
        taken.insert(domain);
        Ok(Seat { domain, seats: self.clone() })
    }

    /// A set is whole after a panic, too.
    fn taken(&self) -> MutexGuard<'_, BTreeSet<Uuid>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.taken().remove(&self.domain);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_has_one_seat_and_all_have_some() {
        let (seats, [a, b, c]) = (Seats::new(2), [1, 2, 3].map(Uuid::from_u128));
        let first = seats.take(a).unwrap();
        assert!(matches!(seats.take(a), Err(Untried::Engaged)));
        let _second = seats.take(b).unwrap();
        assert!(matches!(seats.take(c), Err(Untried::Busy)));
        drop(first);
        assert!(seats.take(c).is_ok());
        assert!(seats.take(a).is_ok(), "what is dropped at once is free at once");
    }
}
