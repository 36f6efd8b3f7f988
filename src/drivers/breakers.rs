//! The circuit breakers of this process: admission asks, calls report.
use crate::{
    breaker::{Breakers, Circuit, Sign, Standing},
    call::Rung,
    ladder::Rungs,
    secretary::OfTenant,
};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

/// Shared by admission, which asks, and the media threads, whose calls report. It is held for a look-up at a time.
#[derive(Debug, Default)]
pub struct Circuits(Mutex<Breakers>);

/// The ladder of a call that begins.
#[derive(Debug)]
pub struct Ordered {
    /// In this order; one at least.
    pub rungs: Vec<Rung>,
    /// How many would have been asked before the first: none where all circuits are open, and the order is what it was.
    pub skipped: usize,
    /// The first is tried, to see whether it works again.
    pub trial: Option<Trial>,
}

/// A call is to try a provider that failed. Unless it begins there, the next one does.
#[derive(Debug)]
pub struct Trial {
    circuits: Arc<Circuits>,
    circuit: Option<Circuit>,
}

impl Trial {
    /// The call begins.
    pub fn begin(mut self) {
        self.circuit = None;
    }

    /// Whether it is this one that is tried.
    pub fn is_of(&self, rung: &Rung, of: &OfTenant) -> bool {
        rung.circuit().map(|circuit| of.circuit(circuit)) == self.circuit
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        if let Some(circuit) = &self.circuit {
            self.circuits.breakers().give_back(circuit, Instant::now());
        }
    }
}

impl Circuits {
    /// What a conversation with a provider came to.
    pub fn report(&self, circuit: &Circuit, sign: Sign) {
        self.breakers().report(circuit, sign, Instant::now());
    }

    /// How each stands.
    pub fn standing(&self) -> Vec<Standing> {
        self.breakers().standing(Instant::now())
    }

    /// The ladder of a call of this tenant that begins: rungs whose circuit is open are last, since they are better than nothing.
    pub fn order(self: &Arc<Self>, rungs: Rungs, of: &OfTenant) -> Ordered {
        let (mut breakers, now) = (self.breakers(), Instant::now());
        let (mut chosen, mut trial) = (false, None);
        let (open, mut rungs): (Vec<Rung>, Vec<Rung>) =
            std::iter::once(rungs.first).chain(rungs.below).partition(|rung| {
                let Some(circuit) = rung.circuit().map(|circuit| of.circuit(circuit)).filter(|_| !chosen) else {
                    chosen = true;
                    return false;
                };
                let tries = !breakers.is_closed(&circuit);
                // The call that tries a half-open circuit must be one that begins there.
                chosen = breakers.admits(&circuit, now);
                if chosen && tries {
                    trial = Some(Trial { circuits: Arc::clone(self), circuit: Some(circuit) });
                }
                !chosen
            });
        let skipped = if rungs.is_empty() { 0 } else { open.len() };
        rungs.extend(open);
        Ordered { rungs, skipped, trial }
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

    fn order(circuits: &Arc<Circuits>) -> Ordered {
        let rungs = Rungs { first: rung("a.test"), below: vec![rung("b.test"), rung("c.test")], warnings: Vec::new() };
        circuits.order(rungs, &OfTenant::default())
    }

    fn hosts(circuits: &Arc<Circuits>) -> (Vec<String>, usize) {
        let Ordered { rungs, skipped, .. } = order(circuits);
        (rungs.into_iter().map(|rung| rung.circuit().unwrap().at).collect(), skipped)
    }

    #[test]
    fn who_is_refused_after_all_leaves_the_trial_to_the_next_call() {
        let circuits = Arc::new(Circuits::default());
        circuits.report(&rung("a.test").circuit().unwrap(), Sign::Failed(FailureKind::Quota));
        assert!(order(&circuits).trial.is_none(), "it is open");
        // Its time is over.
        let circuit = rung("a.test").circuit().unwrap();
        let half_open = Instant::now() + std::time::Duration::from_secs(120);
        assert!(circuits.breakers().admits(&circuit, half_open));
        circuits.breakers().give_back(&circuit, Instant::now());
        let refused = order(&circuits);
        assert!(refused.trial.as_ref().is_some_and(|trial| trial.is_of(&rung("a.test"), &OfTenant::default())));
        assert!(order(&circuits).trial.is_none(), "one is enough");
        drop(refused);
        let Ordered { trial: Some(trial), skipped: 0, .. } = order(&circuits) else { panic!("nobody tries") };
        trial.begin();
        assert_eq!(order(&circuits).skipped, 1, "the others wait for what becomes of it");
    }

    #[test]
    fn a_call_begins_where_the_circuit_is_closed_and_keeps_the_others_for_the_end() {
        let circuits = Arc::new(Circuits::default());
        assert_eq!(hosts(&circuits), (["a.test", "b.test", "c.test"].map(String::from).to_vec(), 0));
        circuits.report(&rung("a.test").circuit().unwrap(), Sign::Failed(FailureKind::Quota));
        assert_eq!(hosts(&circuits), (["b.test", "c.test", "a.test"].map(String::from).to_vec(), 1));
        circuits.report(&rung("a.test").circuit().unwrap(), Sign::Spoke);
        assert_eq!(hosts(&circuits).1, 0);
    }

    #[test]
    fn a_tenants_own_key_moves_its_own_calls_alone() {
        let circuits = Arc::new(Circuits::default());
        let own = OfTenant { own_key: Some((ProviderKind::OpenAi, "a.example".to_owned())), redact: false };
        circuits.report(&own.circuit(rung("a.test").circuit().unwrap()), Sign::Failed(FailureKind::Quota));
        let begins = |of: &OfTenant| {
            let rungs = Rungs { first: rung("a.test"), below: vec![rung("b.test")], warnings: Vec::new() };
            circuits.order(rungs, of).rungs[0].circuit().unwrap().at
        };
        assert_eq!((begins(&own), begins(&OfTenant::default())), ("b.test".to_owned(), "a.test".to_owned()));
    }

    #[test]
    fn where_every_circuit_is_open_a_call_begins_as_ever_and_nothing_was_skipped() {
        let circuits = Arc::new(Circuits::default());
        for host in ["a.test", "b.test", "c.test"] {
            circuits.report(&rung(host).circuit().unwrap(), Sign::Failed(FailureKind::Quota));
        }
        assert_eq!(hosts(&circuits), (["a.test", "b.test", "c.test"].map(String::from).to_vec(), 0));
    }
}
