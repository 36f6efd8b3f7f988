//! The providers of a call, best first: which one speaks, and what it came to.
use super::{Desk, Event, Patiences, Rung, numbered::Numbered, succession::Failed};
use crate::breaker::Sign;
use media::{AudioFormat, vad};
use providers::Dialect;
use std::time::{Duration, Instant};

impl Desk {
    /// The provider of a call that sounds like this, not connected yet.
    pub(super) fn open(&mut self, format: AudioFormat) -> Box<dyn Dialect> {
        self.spoke = false;
        self.strays = true;
        self.lookups.forget();
        let dialect = self.rung.open(format, &self.log.about(&self.secretary.domain_name));
        Box::new(Numbered::new(dialect, self.succession.take_seat()))
    }

    /// How long the provider may take to be ready: less where another waits for its turn.
    pub(super) fn patience(&self) -> Duration {
        let alone = self.succession.below().next().is_none();
        let Patiences { ready, replacement, .. } = self.settings.ladder;
        if alone { ready } else { replacement }
    }

    /// What the conversation with the present provider came to.
    pub(super) fn reports(&mut self, sign: Sign) {
        if let Some(circuit) = self.rung.circuit() {
            let circuit = self.secretary.of_tenant.circuit(circuit);
            self.emit(Event::Provider { circuit, sign });
        }
    }

    /// The caller is about to hear the present provider.
    pub(super) fn speaks(&mut self) {
        self.lookups.broke_off();
        if !std::mem::replace(&mut self.spoke, true) {
            self.reports(Sign::Spoke);
        }
    }

    /// The present provider goes on after one that failed.
    pub(super) fn changed(&mut self, failed: Failed, lost: Duration, now: Instant) {
        let at = self.log.since_answer(failed.since());
        let change = failed.change(&self.rung, at, lost, now);
        self.log.changed(change.clone(), &self.rung);
        self.emit(Event::Changed(Box::new(change)));
    }

    /// Who hears whether the caller speaks. Of a provider that does not say so nobody would know.
    pub(super) fn detector(&self) -> vad::Engine {
        match self.settings.listening.vad {
            vad::Engine::Off if !self.rungs().all(Rung::tells_turns) => vad::Engine::Silero,
            engine => engine,
        }
    }

    pub(super) fn rungs(&self) -> impl Iterator<Item = &Rung> {
        std::iter::once(&self.rung).chain(self.succession.below())
    }
}
