//! What the calls of a month may cost. PURE.
//!
//! ```text
//! open: reserve a step ──charge──▶ the step is spent: reserve another ──▶ … ──settle──▶ what it cost is spent, the rest free
//!   └ nothing left: the call is refused     └ nothing left: the assistant says goodbye
//! ```
//! Every call reserves before it spends, so that calls at the same time cannot spend the same money: each overspends by
//! what it is charged between its last reservation and its goodbye, and by no more.
use super::Month;
use crate::record::MicroUsd;
use std::collections::BTreeMap;
use thiserror::Error;
use uuid::Uuid;

/// Whose money, of which month.
pub type Account = (Uuid, Month);

/// What a call is held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// All calls of the month together.
    pub limit: MicroUsd,
    /// When this much is spent, somebody is told.
    pub alert_at: MicroUsd,
    /// How much a call reserves at a time.
    pub step: MicroUsd,
}

/// There is not enough left for another reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the budget of the month is used up")]
pub struct Exhausted;

/// What a call has reserved and spent. It ends with [`Ledger::settle`].
#[derive(Debug, PartialEq, Eq)]
pub struct Bill {
    account: Account,
    terms: Terms,
    reserved: u64,
    spent: u64,
    /// Nothing was left when it asked; it is told once.
    dry: bool,
}

impl Bill {
    /// Whose.
    pub const fn account(&self) -> Account {
        self.account
    }

    /// What it is held to.
    pub const fn terms(&self) -> Terms {
        self.terms
    }
}

/// What a charge led to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Charged {
    /// Nothing is left: the call has to end. Said once a call.
    pub exhausted: bool,
    /// As [`Ledger::due`].
    pub alert: Option<MicroUsd>,
}

/// How an account stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// By calls that ended, and by those that are up.
    pub spent: MicroUsd,
    /// Beyond that, by calls that are up.
    pub reserved: MicroUsd,
}

#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    /// By calls that ended.
    settled: u64,
    /// Of calls that are up, including what they have spent of it.
    reserved: u64,
    /// By calls that are up.
    live: u64,
    /// The highest threshold of which this was said.
    alerted: u64,
    /// Corrections that the database has or has not yet …
    correcting: u32,
    /// … and by how much, together.
    uncertain: u64,
    /// By how much those differed that it was told of since the start, whatever came of it.
    corrected: u64,
}

/// The question what an account has cost, put to the database.
#[derive(Debug)]
pub struct Question {
    account: Account,
    /// [`Sums::corrected`] when it was put.
    corrected: u64,
}

impl Sums {
    const fn spent(&self) -> u64 {
        self.settled.saturating_add(self.live)
    }

    const fn committed(&self) -> u64 {
        self.settled.saturating_add(self.reserved)
    }

    fn due(&mut self, MicroUsd(at): MicroUsd) -> Option<MicroUsd> {
        let due = self.spent() >= at && self.alerted < at;
        self.alerted = if due { at } else { self.alerted };
        due.then(|| MicroUsd(self.spent()))
    }
}

/// The accounts of all tenants that have a budget.
#[derive(Clone, Debug, Default)]
pub struct Ledger(BTreeMap<Account, Sums>);

impl Ledger {
    /// So much has been spent by calls that ended, as the database knows it. Calls of this process that ended count at
    /// once, those of others when the database has them: whichever sum is larger is true.
    pub fn observe(&mut self, account: Account, MicroUsd(spent): MicroUsd) {
        let (domain, month) = account;
        self.0.retain(|(of, earlier), sums| {
            *of != domain || *earlier >= month || sums.reserved > 0 || sums.correcting > 0
        });
        let sums = self.0.entry(account).or_default();
        sums.settled = sums.settled.max(spent);
    }

    /// The question is put at this moment.
    pub fn ask(&self, account: Account) -> Question {
        Question { account, corrected: self.0.get(&account).map_or(0, |sums| sums.corrected) }
    }

    /// [`Ledger::observe`]s the answer; `false` if a correction was on its way meanwhile. Nobody can tell whether that is
    /// in there, so of the answer only what would be there without it counts: nothing counts twice, and the rest of the
    /// month is not forgotten.
    pub fn answer(&mut self, question: &Question, MicroUsd(spent): MicroUsd) -> bool {
        let Question { account, corrected } = *question;
        let sums = self.0.get(&account).copied().unwrap_or_default();
        let uncertain = sums.uncertain.saturating_add(sums.corrected.saturating_sub(corrected));
        self.observe(account, MicroUsd(spent.saturating_sub(uncertain)));
        uncertain == 0
    }

    /// The database is told of a correction, one figure in place of another, until [`Ledger::end_correction`] of the
    /// same.
    pub fn begin_correction(&mut self, account: Account, MicroUsd(from): MicroUsd, MicroUsd(to): MicroUsd) {
        let sums = self.0.entry(account).or_default();
        sums.correcting = sums.correcting.saturating_add(1);
        sums.uncertain = sums.uncertain.saturating_add(from.abs_diff(to));
    }

    /// It was told, or was not: what it says from here on has the correction or has it not. What it was asked before may
    /// be either: a figure that is smaller now must not be the larger one again.
    pub fn end_correction(&mut self, account: Account, MicroUsd(from): MicroUsd, MicroUsd(to): MicroUsd) {
        let sums = self.0.entry(account).or_default();
        sums.correcting = sums.correcting.saturating_sub(1);
        sums.uncertain = sums.uncertain.saturating_sub(from.abs_diff(to));
        sums.corrected = sums.corrected.saturating_add(from.abs_diff(to));
    }

    /// What a call that ended cost is known better: one figure in place of another. A sum that falls below what was observed
    /// follows the next observation up again, never down.
    pub fn correct(&mut self, account: Account, MicroUsd(from): MicroUsd, MicroUsd(to): MicroUsd) {
        let sums = self.0.entry(account).or_default();
        sums.settled = sums.settled.saturating_add(to).saturating_sub(from);
    }

    /// What is spent, if that is as much as this and has not been said of this threshold, or of a higher one, in this month.
    /// However it came to be spent: by calls of this process, by others, or by a bill.
    pub fn due(&mut self, account: Account, alert_at: MicroUsd) -> Option<MicroUsd> {
        self.0.entry(account).or_default().due(alert_at)
    }

    /// Reserves the first step of a call.
    ///
    /// # Errors
    /// Less than a step is left.
    pub fn open(&mut self, account: Account, terms: Terms) -> Result<Bill, Exhausted> {
        let mut bill = Bill { account, terms, reserved: 0, spent: 0, dry: false };
        self.reserve(&mut bill)?;
        Ok(bill)
    }

    /// A call has cost so much since it began: reserves what it needs to go on.
    pub fn charge(&mut self, bill: &mut Bill, MicroUsd(total): MicroUsd) -> Charged {
        let more = total.saturating_sub(bill.spent);
        bill.spent = bill.spent.saturating_add(more);
        let sums = self.0.entry(bill.account).or_default();
        sums.live = sums.live.saturating_add(more);
        let alert = sums.due(bill.terms.alert_at);
        let was_dry = bill.dry;
        while bill.spent > bill.reserved {
            if self.reserve(bill).is_err() {
                bill.dry = true;
                self.overdraw(bill);
            }
        }
        Charged { exhausted: bill.dry && !was_dry, alert }
    }

    /// A call has ended: what it cost is spent, and what it reserved beyond is free.
    pub fn settle(&mut self, bill: Bill) {
        let sums = self.0.entry(bill.account).or_default();
        sums.reserved = sums.reserved.saturating_sub(bill.reserved);
        sums.live = sums.live.saturating_sub(bill.spent);
        sums.settled = sums.settled.saturating_add(bill.spent);
    }

    /// How an account stands.
    pub fn standing(&self, account: Account) -> Standing {
        let sums = self.0.get(&account).copied().unwrap_or_default();
        let reserved = sums.reserved.saturating_sub(sums.live);
        Standing { spent: MicroUsd(sums.spent()), reserved: MicroUsd(reserved) }
    }

    fn reserve(&mut self, bill: &mut Bill) -> Result<(), Exhausted> {
        let sums = self.0.entry(bill.account).or_default();
        // A step of nothing would let calls go on for ever.
        let step = bill.terms.step.0.max(1);
        let committed = sums.committed().checked_add(step).ok_or(Exhausted)?;
        if bill.dry || committed > bill.terms.limit.0 {
            return Err(Exhausted);
        }
        sums.reserved = sums.reserved.saturating_add(step);
        bill.reserved = bill.reserved.saturating_add(step);
        Ok(())
    }

    /// What is spent beyond any reservation is missing all the same.
    fn overdraw(&mut self, bill: &mut Bill) {
        let beyond = bill.spent.saturating_sub(bill.reserved);
        let sums = self.0.entry(bill.account).or_default();
        sums.reserved = sums.reserved.saturating_add(beyond);
        bill.reserved = bill.reserved.saturating_add(beyond);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{DateTime, Utc};
    use chrono_tz::Tz;

    const STEP: u64 = 250_000;

    fn account(month: &str) -> Account {
        let at: DateTime<Utc> = format!("{month}-15T00:00:00Z").parse().unwrap();
        (Uuid::nil(), Month::of(at, Tz::UTC))
    }

    fn terms(limit: u64) -> Terms {
        Terms { limit: MicroUsd(limit), alert_at: MicroUsd(limit / 10 * 8), step: MicroUsd(STEP) }
    }

    fn spent(ledger: &Ledger) -> u64 {
        ledger.standing(account("2026-11")).spent.0
    }

    #[test]
    fn a_call_reserves_before_it_spends_and_gives_back_what_it_did_not() {
        let (mut ledger, here) = (Ledger::default(), account("2026-11"));
        let mut bill = ledger.open(here, terms(10 * STEP)).unwrap();
        assert_eq!(ledger.standing(here), Standing { spent: MicroUsd(0), reserved: MicroUsd(STEP) });
        ledger.charge(&mut bill, MicroUsd(STEP + 1));
        assert_eq!(ledger.standing(here), Standing { spent: MicroUsd(STEP + 1), reserved: MicroUsd(STEP - 1) });
        ledger.settle(bill);
        assert_eq!(ledger.standing(here), Standing { spent: MicroUsd(STEP + 1), reserved: MicroUsd(0) });
    }

    #[test]
    fn of_an_answer_all_counts_but_what_corrections_on_their_way_may_have_made_of_it() {
        let (mut ledger, here) = (Ledger::default(), account("2026-11"));
        let (estimated, billed) = (MicroUsd(2), MicroUsd(7));
        ledger.observe(here, estimated);
        let (before, other) = (ledger.ask(here), ledger.ask(account("2026-12")));
        ledger.begin_correction(here, estimated, billed);
        let between = ledger.ask(here);
        assert!(!ledger.answer(&between, billed) && spent(&ledger) == 2, "the database has it already");
        assert!(!ledger.answer(&between, MicroUsd(20)) && spent(&ledger) == 15, "what others spent counts");
        ledger.correct(here, estimated, billed);
        assert!(!ledger.answer(&between, MicroUsd(20)) && spent(&ledger) == 20);
        ledger.end_correction(here, estimated, billed);
        for question in [&before, &between] {
            assert!(!ledger.answer(question, MicroUsd(24)) && spent(&ledger) == 20, "it had it, or had not");
        }
        let after = ledger.ask(here);
        assert!(ledger.answer(&after, MicroUsd(24)) && spent(&ledger) == 24);
        assert!(ledger.answer(&other, MicroUsd(1)), "of another month it says nothing");
    }

    /// The ledger has the smaller figure; an answer of before has the larger one still.
    #[test]
    fn a_bill_that_is_less_than_the_estimate_is_not_undone_by_an_older_answer() {
        let (mut ledger, here) = (Ledger::default(), account("2026-11"));
        let (estimated, billed) = (MicroUsd(7), MicroUsd(2));
        ledger.observe(here, MicroUsd(20));
        ledger.begin_correction(here, estimated, billed);
        let between = ledger.ask(here);
        assert!(!ledger.answer(&between, MicroUsd(20)) && spent(&ledger) == 20);
        ledger.correct(here, estimated, billed);
        assert!(!ledger.answer(&between, MicroUsd(20)) && spent(&ledger) == 15);
        ledger.end_correction(here, estimated, billed);
        assert!(!ledger.answer(&between, MicroUsd(20)) && spent(&ledger) == 15);
        let after = ledger.ask(here);
        assert!(ledger.answer(&after, MicroUsd(15)) && spent(&ledger) == 15);
    }

    #[test]
    fn fifty_calls_at_once_cannot_spend_the_same_money() {
        const CALLS: u64 = 50;
        let (mut ledger, here) = (Ledger::default(), account("2026-11"));
        let limit = (CALLS + 1) * STEP;
        let mut bills: Vec<Bill> = (0..CALLS).map(|_| ledger.open(here, terms(limit)).unwrap()).collect();
        // All talk on, an eighth of a step at a time, until told to stop; then each says goodbye for half a step more.
        let (mut totals, mut stopped) = (vec![0; bills.len()], vec![false; bills.len()]);
        while stopped.contains(&false) {
            for ((bill, total), stopped) in bills.iter_mut().zip(&mut totals).zip(&mut stopped) {
                if !*stopped {
                    *total += STEP / 8;
                    *stopped = ledger.charge(bill, MicroUsd(*total)).exhausted;
                }
            }
        }
        for (bill, total) in bills.iter_mut().zip(&mut totals) {
            *total += STEP / 2;
            assert!(!ledger.charge(bill, MicroUsd(*total)).exhausted, "a call is told once");
        }
        let overspent = spent(&ledger).saturating_sub(limit);
        assert!(overspent > 0 && overspent <= CALLS * STEP, "{overspent}");
        assert_eq!(ledger.open(here, terms(limit)), Err(Exhausted));
        bills.into_iter().for_each(|bill| ledger.settle(bill));
        assert_eq!(ledger.standing(here), Standing { spent: MicroUsd(totals.iter().sum()), reserved: MicroUsd(0) });
    }

    #[test]
    fn calls_that_stay_within_their_reservation_overspend_nothing() {
        let (mut ledger, here) = (Ledger::default(), account("2026-11"));
        let limit = 51 * STEP;
        let opened = std::iter::from_fn(|| ledger.open(here, terms(limit)).ok()).collect::<Vec<_>>();
        assert_eq!(opened.len(), 51, "the next call finds nothing left");
        for mut bill in opened {
            assert!(!ledger.charge(&mut bill, MicroUsd(STEP)).exhausted);
            ledger.settle(bill);
        }
        assert_eq!(spent(&ledger), limit);
    }

    #[test]
    fn an_alert_is_given_once_a_month_when_the_threshold_is_crossed() {
        let mut ledger = Ledger::default();
        let mut charge = |month, total| {
            let mut bill = ledger.open(account(month), terms(10 * STEP)).unwrap();
            let alert = ledger.charge(&mut bill, MicroUsd(total)).alert;
            ledger.settle(bill);
            alert
        };
        assert_eq!(charge("2026-11", 7 * STEP), None);
        assert_eq!(charge("2026-11", STEP), Some(MicroUsd(8 * STEP)));
        assert_eq!(charge("2026-11", STEP / 2), None);
        assert_eq!(charge("2026-12", 8 * STEP), Some(MicroUsd(8 * STEP)));
    }

    #[test]
    fn what_others_spent_and_what_was_billed_is_alerted_of_as_well_and_a_larger_budget_again() {
        let (mut ledger, here, at) = (Ledger::default(), account("2026-11"), MicroUsd(8 * STEP));
        ledger.observe(here, MicroUsd(7 * STEP));
        assert_eq!(ledger.due(here, at), None);
        ledger.observe(here, MicroUsd(9 * STEP));
        assert_eq!((ledger.due(here, at), ledger.due(here, at)), (Some(MicroUsd(9 * STEP)), None));
        assert_eq!(ledger.due(here, MicroUsd(10 * STEP)), None);
        ledger.correct(here, MicroUsd(STEP), MicroUsd(3 * STEP));
        assert_eq!(ledger.due(here, MicroUsd(10 * STEP)), Some(MicroUsd(11 * STEP)));
        assert_eq!(ledger.due(here, at), None, "of a smaller budget it is known");
        let mut bill = ledger.open(here, terms(12 * STEP)).unwrap();
        assert!(!ledger.charge(&mut bill, MicroUsd(STEP)).exhausted);
        assert_eq!(ledger.open(here, terms(12 * STEP)), Err(Exhausted));
        assert_eq!(ledger.due(account("2026-12"), MicroUsd(0)), None, "nothing is no news");
    }

    #[test]
    fn a_bill_stands_in_place_of_the_estimate() {
        let (mut ledger, here) = (Ledger::default(), account("2026-11"));
        let mut bill = ledger.open(here, terms(10 * STEP)).unwrap();
        ledger.charge(&mut bill, MicroUsd(STEP));
        ledger.settle(bill);
        ledger.correct(here, MicroUsd(STEP), MicroUsd(4 * STEP));
        assert_eq!(spent(&ledger), 4 * STEP);
        ledger.correct(here, MicroUsd(4 * STEP), MicroUsd(2 * STEP));
        assert_eq!(spent(&ledger), 2 * STEP);
    }

    #[test]
    fn what_the_database_has_not_heard_of_yet_counts_and_what_it_has_counts_once() {
        let (mut ledger, here) = (Ledger::default(), account("2026-11"));
        let mut bill = ledger.open(here, terms(10 * STEP)).unwrap();
        ledger.charge(&mut bill, MicroUsd(STEP));
        ledger.settle(bill);
        for (in_database, expected) in [(0, STEP), (STEP, STEP), (3 * STEP, 3 * STEP)] {
            ledger.observe(here, MicroUsd(in_database));
            assert_eq!(spent(&ledger), expected);
        }
    }

    #[test]
    fn a_month_is_forgotten_when_the_next_has_come_and_its_last_call_is_over() {
        let (mut ledger, old, new) = (Ledger::default(), account("2026-11"), account("2026-12"));
        let bill = ledger.open(old, terms(10 * STEP)).unwrap();
        ledger.observe(new, MicroUsd(0));
        assert_eq!(ledger.0.len(), 2);
        ledger.settle(bill);
        ledger.observe(new, MicroUsd(0));
        assert_eq!(ledger.0.keys().collect::<Vec<_>>(), [&new]);
    }
}
