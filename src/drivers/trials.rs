//! How many may try something at once: one of each tenant, and some of all.
use crate::{
    api::Untried,
    seats::{Seat, Seats},
};
use uuid::Uuid;

/// Places for so many.
#[derive(Debug)]
pub(super) struct Trials {
    of_each: Seats<Uuid>,
    of_all: Seats<()>,
}

/// A place that is taken, until this is dropped.
#[derive(Debug)]
pub(super) struct Trial {
    _own: Seat<Uuid>,
    _one: Seat<()>,
}

impl Trials {
    pub(super) fn new(most: usize) -> Self {
        Self { of_each: Seats::new(1), of_all: Seats::new(most) }
    }

    /// That of a tenant.
    ///
    /// # Errors
    /// It has it already, or all are taken.
    pub(super) fn take(&self, domain: Uuid) -> Result<Trial, Untried> {
        let own = self.of_each.take(domain).ok_or(Untried::Engaged)?;
        let one = self.of_all.take(()).ok_or(Untried::Busy)?;
        Ok(Trial { _own: own, _one: one })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_has_one_and_all_have_some() {
        let (trials, [a, b, c]) = (Trials::new(2), [1, 2, 3].map(Uuid::from_u128));
        let first = trials.take(a).unwrap();
        assert!(matches!(trials.take(a), Err(Untried::Engaged)));
        let _second = trials.take(b).unwrap();
        assert!(matches!(trials.take(c), Err(Untried::Busy)));
        drop(first);
        assert!(trials.take(c).is_ok());
        assert!(trials.take(a).is_ok(), "what is dropped at once is free at once");
    }
}
