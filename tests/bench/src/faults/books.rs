//! What is left of all calls when they are over: each record once, the same money by both accounts, recordings that are what their
//! rows say, and nothing that still waits or counts.
use super::{
    Backs,
    disk::Tape,
    ground::Notes,
    plan::{Phase, Row, Thing},
};
use crate::server::Server;
use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    thread,
    time::{Duration, Instant},
};

/// How long the last records may take into the database, and the last leases out of Redis: spilled records are looked after twice a
/// minute.
const PATIENCE: Duration = Duration::from_secs(70);
const LOOK: Duration = Duration::from_millis(250);
/// What is shown of a line of the log that is not JSON.
const SHOWN: usize = 100;

const RECORDS: &str = "select coalesce(json_agg(t), '[]') from \
    (select call_uuid, recording from v_voice_conversations_realtime) t";
const MONEY: &str = "select json_build_object('rows', count(*), 'open', count(*) filter (where node_uuid is not null), \
    'cost', coalesce(sum(cost_micro_usd), 0), \
    'of_records', (select coalesce(sum(cost_micro_usd), 0) from v_voice_conversations_realtime), \
    'differing', (select count(*) from v_voice_conversations_realtime c left join (select conversation_uuid, \
    sum(cost_micro_usd) as cost from v_voice_usage group by 1) u using (conversation_uuid) \
    where coalesce(c.cost_micro_usd, 0) <> coalesce(u.cost, 0))) from v_voice_usage";

/// A call as its phone saw it.
#[derive(Clone, Debug)]
pub(super) struct Told {
    /// Its Call-ID.
    pub(super) id: String,
    /// In which phases it was placed, and ended.
    pub(super) begun: usize,
    pub(super) ended: usize,
    pub(super) answered: bool,
}

/// A row of the database.
#[derive(Clone, Debug, Deserialize)]
struct Kept {
    call_uuid: String,
    recording: Option<Recording>,
}

#[derive(Clone, Debug, Deserialize)]
struct Recording {
    state: String,
    path: Option<String>,
    bytes: Option<u64>,
    problem: Option<String>,
    #[serde(default)]
    gaps: Vec<Value>,
}

/// What calls were used for, by both accounts.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct Money {
    /// Of the account by provider.
    pub(super) rows: u64,
    /// Those among them that are still of a call that is up.
    pub(super) open: u64,
    pub(super) cost: u64,
    pub(super) of_records: u64,
    /// Conversations of which one account says something else than the other.
    pub(super) differing: u64,
}

/// What was found.
#[derive(Debug)]
pub(super) struct Books {
    pub(super) records: Records,
    pub(super) money: Money,
    /// Calls that Redis still counts, and how long it took until there were as few.
    pub(super) leases: (u64, Duration),
    /// Files of records that wait, or were refused.
    pub(super) spilled: BTreeMap<String, u64>,
    /// Warnings and errors of the server, by their text.
    pub(super) warnings: BTreeMap<String, usize>,
}

/// What became of the records of calls that were answered, and of their recordings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Records {
    pub(super) answered: usize,
    /// Calls with just one row.
    pub(super) once: usize,
    /// Calls with more.
    pub(super) more: usize,
    /// Calls without one, by the phase in which they ended.
    pub(super) missing: BTreeMap<usize, usize>,
    /// How many of these are in the log, whole.
    pub(super) in_log: usize,
    /// What became of recordings: whether the disk was full in the call's time, and in words.
    pub(super) tapes: BTreeMap<(bool, String), usize>,
    /// Files that no row names.
    pub(super) stray: usize,
}

/// Waits until nothing moves any more, and counts.
pub(super) fn reckon(
    notes: Notes,
    phases: &[Phase],
    backs: &Backs,
    server: &Server,
) -> Result<(Books, Vec<Row>, BTreeMap<String, usize>)> {
    let Notes { rows, told, whys, mut tapes } = notes;
    let leases = leases(backs)?;
    let kept = settled(backs, &told)?;
    backs.disk.harvest(&mut tapes)?;
    let spilled = backs.disk.spilled()?;
    let money = serde_json::from_str(&backs.postgres.ask(MONEY)?).context("sums")?;
    let log = server.log();
    let mut records = compare(&told, &kept, &tapes, phases);
    records.in_log = logged(&log).intersection(&missing(&told, &kept)).count();
    Ok((Books { records, money, leases, spilled, warnings: warnings(&log) }, rows, whys))
}

/// Waits until every record is in the database, and gives them.
fn settled(backs: &Backs, told: &[Told]) -> Result<Vec<Kept>> {
    let began = Instant::now();
    loop {
        let kept: Vec<Kept> = serde_json::from_str(&backs.postgres.ask(RECORDS)?).context("records")?;
        let is_settled = missing(told, &kept).is_empty() && backs.disk.spilled()?.is_empty();
        if is_settled || began.elapsed() > PATIENCE {
            return Ok(kept);
        }
        thread::sleep(LOOK);
    }
}

/// Waits until Redis counts no calls.
fn leases(backs: &Backs) -> Result<(u64, Duration)> {
    let began = Instant::now();
    loop {
        let left = backs.redis.leases()?;
        if left == 0 || began.elapsed() > PATIENCE {
            return Ok((left, began.elapsed()));
        }
        thread::sleep(LOOK);
    }
}

fn compare(told: &[Told], kept: &[Kept], tapes: &BTreeMap<String, Tape>, phases: &[Phase]) -> Records {
    let mut by_call: BTreeMap<&str, Vec<&Kept>> = BTreeMap::new();
    for row in kept {
        by_call.entry(&row.call_uuid).or_default().push(row);
    }
    let mut records = Records::default();
    for call in told.iter().filter(|call| call.answered) {
        records.answered += 1;
        let found = by_call.get(call.id.as_str()).map(Vec::as_slice).unwrap_or_default();
        match found {
            [] => *records.missing.entry(call.ended).or_default() += 1,
            [row] => {
                records.once += 1;
                let what = (was_full(call, phases), fate(row.recording.as_ref(), tapes));
                *records.tapes.entry(what).or_default() += 1;
            }
            _ => records.more += 1,
        }
    }
    let named: BTreeSet<&str> = kept.iter().filter_map(|row| row.recording.as_ref()?.path.as_deref()).collect();
    records.stray = tapes.keys().filter(|path| !named.contains(path.as_str())).count();
    records
}

/// Whether the disk was full while a call was up, or when its file was closed, which may be a moment later.
fn was_full(call: &Told, phases: &[Phase]) -> bool {
    phases.iter().take(call.ended + 2).skip(call.begun).any(|phase| phase.lacks(Thing::Disk))
}

/// What became of a recording, in words.
fn fate(recording: Option<&Recording>, tapes: &BTreeMap<String, Tape>) -> String {
    let Some(Recording { state, path, bytes, problem, gaps }) = recording else { return "none".into() };
    let tape = path.as_ref().and_then(|path| tapes.get(path));
    let why = problem.as_deref().unwrap_or("no reason given");
    match (state.as_str(), tape) {
        ("failed", None) => format!("none: {why}"),
        ("complete" | "partial", None) => "LOST: its row names a file that is not there".into(),
        (_, Some(tape)) if !tape.whole || Some(tape.bytes) != *bytes => {
            "BROKEN: its file is not as its row says".into()
        }
        ("complete", Some(_)) if gaps.is_empty() => WHOLE.into(),
        ("complete", Some(_)) => "whole, with gaps where the disk was slow".into(),
        ("partial", Some(_)) => format!("in part: {why}"),
        (state, _) => format!("BROKEN: {state}"),
    }
}

/// What becomes of a recording as a rule.
pub(super) const WHOLE: &str = "whole";

/// Calls that were answered and have no row.
fn missing(told: &[Told], kept: &[Kept]) -> BTreeSet<String> {
    let kept: BTreeSet<&str> = kept.iter().map(|row| row.call_uuid.as_str()).collect();
    let missing = told.iter().filter(|call| call.answered && !kept.contains(call.id.as_str()));
    missing.map(|call| call.id.clone()).collect()
}

/// Calls whose record the server wrote into its log, as it could write it nowhere else.
fn logged(log: &str) -> BTreeSet<String> {
    let record = |line: &str| {
        let line: Value = serde_json::from_str(line).ok()?;
        let record: Value = serde_json::from_str(line["fields"]["record"].as_str()?).ok()?;
        record["call_uuid"].as_str().map(str::to_owned)
    };
    log.lines().filter_map(record).collect()
}

fn warnings(log: &str) -> BTreeMap<String, usize> {
    let mut warnings = BTreeMap::new();
    for line in log.lines() {
        let text = match serde_json::from_str::<Value>(line) {
            Ok(line) => {
                let word = |word: &Value| word.as_str().unwrap_or_default().to_owned();
                format!("{}: {}", word(&line["level"]), word(&line["fields"]["message"]))
            }
            // What no logger wrote, as the words of a panic.
            Err(_) => line.chars().take(SHOWN).collect(),
        };
        *warnings.entry(text).or_default() += 1;
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::plan;

    fn told(id: &str, begun: usize, ended: usize) -> Told {
        Told { id: id.into(), begun, ended, answered: true }
    }

    fn row(id: &str, recording: &str) -> Kept {
        serde_json::from_str(&format!(r#"{{"call_uuid":"{id}","recording":{recording}}}"#)).unwrap()
    }

    #[test]
    fn each_call_is_looked_for_and_each_recording_held_against_its_row() {
        let whole = |bytes| Tape { bytes, whole: true };
        let tapes = [("a", whole(100)), ("b", Tape { bytes: 5, whole: false }), ("c", whole(7)), ("x", whole(1))];
        let tapes = tapes.map(|(path, tape)| (path.to_owned(), tape)).into();
        let kept = [
            row("1", r#"{"state":"complete","path":"a","bytes":100}"#),
            row("2", r#"{"state":"complete","path":"b","bytes":5}"#),
            row("3", r#"{"state":"partial","path":"c","bytes":7,"problem":"No space"}"#),
            row("4", r#"{"state":"failed","problem":"No space"}"#),
            row("5", r#"{"state":"complete","path":"gone","bytes":5}"#),
            row("6", "null"),
            row("6", "null"),
            row("refused", "null"),
        ];
        // The disk is full in the sixth phase.
        let mut calls: Vec<Told> = [(0, 0), (0, 0), (5, 6), (4, 5), (0, 1), (0, 0), (0, 3)]
            .into_iter()
            .enumerate()
            .map(|(number, (begun, ended))| told(&(number + 1).to_string(), begun, ended))
            .collect();
        calls.push(Told { answered: false, ..told("refused", 0, 0) });
        let records = compare(&calls, &kept, &tapes, &plan::phases(None, true));
        assert_eq!((records.answered, records.once, records.more, records.stray), (7, 5, 1, 1));
        assert_eq!(records.missing, [(3, 1)].into());
        let fates: Vec<(bool, &str)> = records.tapes.keys().map(|(full, what)| (*full, what.as_str())).collect();
        let lost = "LOST: its row names a file that is not there";
        let broken = "BROKEN: its file is not as its row says";
        let full = [(true, "in part: No space"), (true, "none: No space")];
        assert_eq!(fates, [&[(false, broken), (false, lost), (false, WHOLE)][..], &full].concat());
        assert_eq!(missing(&calls, &kept), ["7".to_owned()].into());
    }

    #[test]
    fn a_call_that_ends_just_before_the_disk_is_full_may_be_closed_when_it_is() {
        let phases = plan::phases(None, true);
        let full = |begun, ended| was_full(&told("1", begun, ended), &phases);
        assert_eq!([full(0, 3), full(0, 4), full(5, 5), full(6, 6), full(0, 9)], [false, true, true, false, true]);
    }

    #[test]
    fn warnings_are_counted_by_their_text_and_records_in_the_log_are_found() {
        let log = concat!(
            r#"{"level":"WARN","fields":{"message":"one","problem":"x"},"target":"t"}"#,
            "\n",
            r#"{"level":"WARN","fields":{"message":"one","problem":"y"},"target":"t"}"#,
            "\n",
            r#"{"level":"ERROR","fields":{"message":"kept nowhere","record":"{\"call_uuid\":\"7\"}"}}"#,
            "\nthread panicked\n",
        );
        let counted: Vec<(String, usize)> = warnings(log).into_iter().collect();
        let expected = [("ERROR: kept nowhere", 1), ("WARN: one", 2), ("thread panicked", 1)];
        assert_eq!(counted, expected.map(|(text, count)| (text.to_owned(), count)));
        assert_eq!(logged(log), ["7".to_owned()].into());
    }
}
