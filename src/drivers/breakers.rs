//! The circuit breakers of this process: admission asks, calls report.
use crate::{
    breaker::{Breakers, Circuit, Sign, Standing},
    call::Rung,
    ladder::Rungs,
    secretary::OfTenant,
};
use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

/// Shared by admission, which asks, and the media threads, whose calls report. It is held for a look-up at a time.
#[derive(Debug, Default)]
pub struct Circuits(Mutex<Breakers>);

impl Circuits {
    /// What a conversation with a provider came to.
    pub fn report(&self, circuit: &Circuit, sign: Sign) {
        self.breakers().report(circuit, sign, Instant::now());
    }

    /// How each stands.
    pub fn standing(&self) -> Vec<Standing> {
        self.breakers().standing(Instant::now())
    }

    /// The ladder of a call of this tenant that begins: rungs whose circuit is open are last, since they are better than nothing. Says
    /// how many of them would have been asked before the first: none where all are open, and the order is what it was.
    pub fn order(&self, rungs: Rungs, of: &OfTenant) -> (Rung, Vec<Rung>, usize) {
        let (mut breakers, now) = (self.breakers(), Instant::now());
        let all = std::iter::once(rungs.first.clone()).chain(rungs.below);
        let mut chosen = false;
        let (open, closed): (Vec<Rung>, Vec<Rung>) = all.partition(|rung| {
            // The call that tries a half-open circuit must be one that begins there.
            let admitted = chosen || rung.circuit().is_none_or(|circuit| breakers.admits(&of.circuit(circuit), now));
            chosen |= admitted;
            !admitted
        });
        let skipped = if closed.is_empty() { 0 } else { open.len() };
        let mut ordered = closed.into_iter().chain(open);
        let first = ordered.next().unwrap_or(rungs.first);
        (first, ordered.collect(), skipped)
    }

    /// What a thread that panicked left is as good as any: each entry is written whole.
    fn breakers(&self) -> MutexGuard<'_, Breakers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secretary::ProviderKind;
    use media::Law;
    use providers::{FailureKind, openai};

    fn rung(host: &str) -> Rung {
        let config = openai::Config::new("k", openai::Format::G711(Law::Mu));
        Rung::OpenAi(Box::new(openai::Config { url: format!("wss://{host}/v1/realtime"), ..config }))
    }

    fn hosts(circuits: &Circuits) -> (Vec<String>, usize) {
        let rungs = Rungs { first: rung("a.test"), below: vec![rung("b.test"), rung("c.test")], warnings: Vec::new() };
        let (first, below, skipped) = circuits.order(rungs, &OfTenant::default());
        let host = |rung: Rung| rung.circuit().unwrap().at;
        (std::iter::once(first).chain(below).map(host).collect(), skipped)
    }

    #[test]
    fn a_call_begins_where_the_circuit_is_closed_and_keeps_the_others_for_the_end() {
        let circuits = Circuits::default();
        assert_eq!(hosts(&circuits), (["a.test", "b.test", "c.test"].map(String::from).to_vec(), 0));
        circuits.report(&rung("a.test").circuit().unwrap(), Sign::Failed(FailureKind::Quota));
        assert_eq!(hosts(&circuits), (["b.test", "c.test", "a.test"].map(String::from).to_vec(), 1));
        circuits.report(&rung("a.test").circuit().unwrap(), Sign::Spoke);
        assert_eq!(hosts(&circuits).1, 0);
    }

    #[test]
    fn a_tenants_own_key_moves_its_own_calls_alone() {
        let circuits = Circuits::default();
        let own = OfTenant { own_key: Some((ProviderKind::OpenAi, "a.example".to_owned())), redact: false };
        circuits.report(&own.circuit(rung("a.test").circuit().unwrap()), Sign::Failed(FailureKind::Quota));
        let begins = |of: &OfTenant| {
            let rungs = Rungs { first: rung("a.test"), below: vec![rung("b.test")], warnings: Vec::new() };
            circuits.order(rungs, of).0.circuit().unwrap().at
        };
        assert_eq!((begins(&own), begins(&OfTenant::default())), ("b.test".to_owned(), "a.test".to_owned()));
    }

    #[test]
    fn where_every_circuit_is_open_a_call_begins_as_ever_and_nothing_was_skipped() {
        let circuits = Circuits::default();
        for host in ["a.test", "b.test", "c.test"] {
            circuits.report(&rung(host).circuit().unwrap(), Sign::Failed(FailureKind::Quota));
        }
        assert_eq!(hosts(&circuits), (["a.test", "b.test", "c.test"].map(String::from).to_vec(), 0));
    }
}
