//! What was seen, for a person and for a program.
use super::{
    Faults,
    books::{Books, Records, WHOLE},
    ground::{BETWEEN, SETTLE},
    plan::{Phase, Row, Thing},
};
use crate::{
    metric::round,
    origin::Machine,
    soak::{BURST, LATE},
};
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::{collections::BTreeMap, fmt::Write, fs, path::Path};

/// The pace is kept if 99 of 100 packets are within this, ms: as beside a flood, in benchmarks.md.
const PACE: f64 = 5.0;

/// One thing that is to be so.
struct Verdict {
    claim: &'static str,
    /// `None` if it was not tried.
    met: Option<bool>,
    figures: String,
}

impl Faults {
    /// For a terminal, and the heart of the page.
    pub(crate) fn table(&self) -> String {
        let mut text = String::from(
            "| phase | s | calls up | placed | answered | refused | dropped | INVITE to 200, ms p50 / most | packets | \
             off the grid, ms p50 / p99 / p99.9 / most | late | bursts | missing |\n\
             |---|---|---|---|---|---|---|---|---|---|---|---|---|\n",
        );
        for (Phase { name, length, .. }, row) in self.phases.iter().zip(&self.rows) {
            let ([setup, slowest], [p50, p99, p999, most]) = (row.setup(), row.off_grid());
            let Row { begun, answered, refused, dropped, bursts, missing, .. } = row;
            // Writing to a text cannot fail.
            let _ = writeln!(
                text,
                "| {name} | {} | {} | {begun} | {answered} | {refused} | {dropped} | {setup:.0} / {slowest:.0} | {} | \
                 {p50:.2} / {p99:.2} / {p999:.2} / {most:.1} | {} | {bursts} | {missing} |",
                length.as_secs(),
                row.up(),
                row.pacing.len(),
                row.late(),
            );
        }
        text + &self.verdicts_told() + &self.kept_told() + &self.circumstances()
    }

    fn verdicts_told(&self) -> String {
        let mut text = String::from("\n");
        for Verdict { claim, met, figures } in self.verdicts() {
            let word = match met {
                Some(true) => "met",
                Some(false) => "MISSED",
                None => "not tried",
            };
            let _ = writeln!(text, "- {claim}: {word} ({figures}).");
        }
        text
    }

    /// What became of recordings, and what the server had to say.
    fn kept_told(&self) -> String {
        let Books { records, warnings, .. } = &self.books;
        let mut text = String::from("\n| recordings of calls | when the disk was | calls |\n|---|---|---|\n");
        for ((full, what), count) in &records.tapes {
            let _ =
                writeln!(text, "| {what} | {} | {count} |", if *full { "full in their time" } else { "never full" });
        }
        text + &counted("in the server's log", warnings)
            + &counted("why calls were refused or dropped", &self.whys)
            + &counted("what the provider did not expect", &self.strange)
    }

    fn circumstances(&self) -> String {
        format!(
            "\nThe server ended {}. Load average {:.2} before and {:.2} after; all that ran on \
             the machine kept its cores busy for {:.0} % of the time, the hypervisor took {:.1} %. The server got a core {}.\n",
            if self.clean { "by itself after SIGTERM" } else { "badly after SIGTERM" },
            self.load.0,
            self.load.1,
            self.busy.0,
            self.busy.1,
            self.scheduling,
        )
    }

    fn sum(&self, of: fn(&Row) -> usize) -> usize {
        self.rows.iter().map(of).sum()
    }

    fn verdicts(&self) -> Vec<Verdict> {
        let (begun, answered) = (self.sum(|row| row.begun), self.sum(|row| row.answered));
        let (refused, dropped) = (self.sum(|row| row.refused), self.sum(|row| row.dropped));
        let mut verdicts = vec![
            Verdict {
                claim: "No call is dropped",
                met: Some(dropped == 0),
                figures: format!("{dropped} of {answered}"),
            },
            Verdict { claim: "No call is refused", met: Some(refused == 0), figures: format!("{refused} of {begun}") },
            self.pace(),
        ];
        verdicts.extend(self.records());
        let Books { money, leases: (leases, took), spilled, .. } = &self.books;
        let same = money.differing == 0 && money.open == 0 && money.cost == money.of_records;
        let (rows, differing) = (money.rows, money.differing);
        verdicts.extend([
            Verdict {
                claim: "Every record costs what the account by provider says",
                met: Some(same),
                figures: format!(
                    "{:.6} and {:.6} $ in {rows} rows, {differing} differ, {} of calls that are up no more",
                    dollars(money.cost),
                    dollars(money.of_records),
                    money.open
                ),
            },
            Verdict {
                claim: "No record waits any more or was refused",
                met: Some(spilled.is_empty()),
                figures: match spilled.is_empty() {
                    true => "no file is left".into(),
                    false => format!("bytes by file: {spilled:?}"),
                },
            },
            Verdict {
                claim: "Redis counts no call any more",
                met: Some(*leases == 0),
                figures: format!("{leases} after {:.1} s", took.as_secs_f64()),
            },
            self.recordings(),
        ]);
        verdicts
    }

    fn pace(&self) -> Verdict {
        let worst = self.phases.iter().zip(&self.rows).map(|(phase, row)| (phase.name, row.off_grid()[1]));
        let (name, worst) = worst.max_by(|one, other| one.1.total_cmp(&other.1)).unwrap_or_default();
        let before = self.rows.first().map_or(0.0, |row| row.off_grid()[1]);
        Verdict {
            claim: "The pace is kept: of any phase 99 of 100 packets are within 5 ms of their grid",
            met: Some(worst <= PACE && self.sum(|row| row.pacing.len()) > 0),
            figures: format!(
                "p99 at most {worst:.2} ms, {name}; {before:.2} ms before; {} bursts",
                self.sum(|row| row.bursts)
            ),
        }
    }

    /// Two: one thing away at a time, and two.
    fn records(&self) -> [Verdict; 2] {
        let Records { answered, once, more, missing, in_log, .. } = &self.books.records;
        let is_both = |phase: usize| self.phases.get(phase).is_some_and(|phase| phase.away.len() > 1);
        let of =
            |both: bool| missing.iter().filter(|(phase, _)| is_both(**phase) == both).map(|(_, count)| count).sum();
        let (alone, both): (usize, usize) = (of(false), of(true));
        let was_tried = self.phases.iter().any(|phase| phase.lacks(Thing::Disk));
        [
            Verdict {
                claim: "No record is lost while the database, Redis or the disk is away",
                met: Some(alone == 0 && *more == 0 && *answered > 0),
                figures: format!("of {answered} calls {once} are there once, {more} more than once, {alone} not"),
            },
            Verdict {
                claim: "Nor while the database is away and the disk is full",
                met: was_tried.then_some(both == 0),
                figures: format!("{both} lost; of all that are, {in_log} are in the log, whole"),
            },
        ]
    }

    fn recordings(&self) -> Verdict {
        let Records { tapes, stray, .. } = &self.books.records;
        let count = |of: &dyn Fn(bool, &str) -> bool| -> usize {
            tapes.iter().filter(|((full, what), _)| of(*full, what)).map(|(_, count)| count).sum()
        };
        let (never_full, whole) = (count(&|full, _| !full), count(&|full, what| !full && what == WHOLE));
        let bad = count(&|_, what| what.starts_with("LOST") || what.starts_with("BROKEN"));
        Verdict {
            claim: "Recordings of calls with room on the disk are whole, and the others are as their rows say",
            met: Some(never_full == whole && bad == 0 && *stray == 0 && whole > 0),
            figures: format!(
                "{whole} of {never_full} whole; {bad} not as their rows say; {stray} files that no row names"
            ),
        }
    }

    /// For a program.
    pub(crate) fn summary(&self) -> Value {
        let row = |(phase, row): (&Phase, &Row)| {
            json!({"phase": phase.name, "seconds": phase.length.as_secs(), "placed": row.begun, "answered": row.answered,
                "refused": row.refused, "dropped": row.dropped, "setup_ms": row.setup().map(round),
                "off_grid_ms": row.off_grid().map(round), "packets": row.pacing.len(), "late": row.late(),
                "bursts": row.bursts, "missing": row.missing})
        };
        let verdict =
            |verdict: &Verdict| json!({"claim": verdict.claim, "met": verdict.met, "figures": verdict.figures});
        json!({"phases": self.phases.iter().zip(&self.rows).map(row).collect::<Value>(),
            "verdicts": self.verdicts().iter().map(verdict).collect::<Value>(),
            "warnings": self.books.warnings, "whys": self.whys, "strange": self.strange})
    }

    /// Writes its page.
    pub(crate) fn write(&self, docs: &Path, machine: &Machine, when: &str) -> Result<()> {
        let page = format!(
            "# Faults\n\nWritten by `make bench-faults` on {when}; measured again, not edited.\n\n{}\n{}\n\n## Machine\n\n\
             {machine}. Phones, provider, PostgreSQL and Redis share these cores with the server.\n",
            self.table(),
            self.method(),
        );
        fs::write(docs.join("benchmarks-faults.md"), page).context("write benchmarks-faults.md")
    }

    fn method(&self) -> String {
        let (calls, stays) = (self.calls, (BETWEEN * 5).as_secs());
        let disk = match self.phases.iter().any(|phase| phase.lacks(Thing::Disk)) {
            true => DISK,
            false => "The disk was not filled: no tmpfs could be mounted here.",
        };
        format!(
            "{calls} calls in PCMU with packets of 20 ms, each with a TLS WebSocket of its own to a provider on loopback and a \
             conversation as in [benchmarks.md](benchmarks.md). Every {} s the oldest fifth is hung up and as many are placed at \
             once, so that a call stays for {stays} s. All calls are recorded (WAV), their tenant has limits and a budget, \
             the database is a PostgreSQL of the bench's own (fsync as by default), and limits are shared through its own Redis. \
             {CUTS} {disk} {COUNTS} A packet's distance is from the absolute grid of 20 ms that fits its call best in this phase, from {} s \
             after the answer on; it is late beyond {LATE} ms, {BURST} late ones of a call in a row are a burst. Missing are \
             packets that were left out or lost. Nothing is asserted: what is missed is told, not failed.",
            BETWEEN.as_secs(),
            SETTLE.as_secs(),
        )
    }
}

const CUTS: &str = "The database is taken away by SIGQUIT to its first process (`pg_ctl stop -m immediate`), which closes \
    every connection at once and tidies nothing up; Redis by SIGKILL, with nothing of it kept on disk. Both are started again \
    with the same port.";

const DISK: &str = "Recordings and the spill file are on a tmpfs of the server's own, which a file fills to the last byte, and what \
    becomes free meanwhile, too; finished recordings are taken from it while it is not full. Where records go while the \
    database is away says [configuration.md](configuration.md).";

const COUNTS: &str = "Calls are those of the phase in which they were placed, except those dropped, which count where that happened. \
    When all calls are over, the row of every call that was answered is looked for by its Call-ID, and its recording held against what \
    the row says: length, and whether the WAV header counts it.";

/// A table of these, if there are any.
fn counted(head: &str, all: &BTreeMap<String, usize>) -> String {
    let mut text = String::new();
    if !all.is_empty() {
        let _ = writeln!(text, "\n| {head} | times |\n|---|---|");
    }
    for (what, count) in all {
        let _ = writeln!(text, "| {} | {count} |", what.replace('|', "\\|"));
    }
    text
}

fn dollars(micro: u64) -> f64 {
    micro as f64 / 1_000_000.0
}
