//! What is told of something that may break off: that it begins, and what came of it.
use crate::store::{Deed, Store, StoreError};
use chrono::TimeDelta;
use tokio::time::Instant;

/// A deed on its way into the audit. Nothing is told of one that never began.
#[derive(Debug)]
pub struct Telling<'a> {
    store: &'a dyn Store,
    deed: Deed,
    began: Option<Instant>,
}

impl<'a> Telling<'a> {
    /// Of this deed, whose `detail` is filled in here, and whose time is that of its beginning.
    pub fn of(store: &'a dyn Store, deed: Deed) -> Self {
        Self { store, deed, began: None }
    }

    /// Tells that it begins, the first time this is said.
    ///
    /// # Errors
    /// The database does not answer: then nothing may be done that nobody would know of.
    pub async fn begin(&mut self) -> Result<(), StoreError> {
        if self.began.is_none() {
            let deed = Deed { detail: Some("begins".to_owned()), ..self.deed.clone() };
            self.store.records().tell(&deed).await?;
            self.began = Some(Instant::now());
        }
        Ok(())
    }

    /// Tells what came of it, if it began.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn end<T, E>(self, outcome: String, result: &Result<T, E>) -> Result<(), StoreError> {
        let Some(began) = self.began else { return Ok(()) };
        let at = self.deed.at + TimeDelta::from_std(began.elapsed()).unwrap_or_default();
        let detail = match result {
            Ok(_) => outcome,
            Err(_) => format!("{outcome}; broke off"),
        };
        self.store.records().tell(&Deed { at, detail: Some(detail), ..self.deed }).await
    }
}
