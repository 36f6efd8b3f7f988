//! `ramal conversations`: what was said, from the database.
mod keeping;
mod listing;
mod table;

use super::config::written;
use crate::{
    paint::{Paint, plain},
    record::{Change, Conversation, Listened, Outcome, Speaker, TurnRecord, Waterfall},
    store::Which,
};
use chrono::{DateTime, FixedOffset, Utc};
use std::{
    fmt::Write as _,
    io::{self, Write as _},
    path::PathBuf,
    time::Duration,
};

/// The longest step of a picture, in letters: two seconds.
const WIDEST: usize = 40;

/// Lists stored conversations with what was said; finds, exports and deletes those of a tenant.
#[derive(Clone, Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    list: List,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum What {
    /// Deletes what is kept of a caller, recordings included
    Erase(Erase),
    /// Says that a server is gone for ever with the recordings on its disk: their conversations no longer wait for it
    Release(Release),
    /// Shows who changed secretaries and settings, and who exported or deleted what
    Audit(Audit),
}

#[derive(Clone, Debug, clap::Args)]
struct Erase {
    /// Configuration file, for database and recordings; else that of the variable RAMAL_CONFIG
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The tenant: a domain name or UUID
    #[arg(long, value_name = "DOMAIN")]
    domain: String,
    /// The caller's number as it is kept
    #[arg(long, value_name = "NUMBER")]
    caller: String,
    /// Only conversations that began before this day or moment
    #[arg(long, value_name = "TIME", value_parser = keeping::moment)]
    to: Option<DateTime<Utc>>,
}

#[derive(Clone, Debug, clap::Args)]
struct Release {
    /// Configuration file, for its database; else that of the variable RAMAL_CONFIG
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The tenant: a domain name or UUID
    #[arg(long, value_name = "DOMAIN")]
    domain: String,
    /// The server, as its `recording.node` was; empty for recordings of which no server is known
    #[arg(long, value_name = "NAME")]
    node: String,
}

#[derive(Clone, Debug, clap::Args)]
struct Audit {
    /// Configuration file, for its database; else that of the variable RAMAL_CONFIG
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The tenant: a domain name or UUID
    #[arg(long, value_name = "DOMAIN")]
    domain: String,
    /// How many, the newest last
    #[arg(long, value_name = "N", default_value_t = 50)]
    last: u32,
}

#[derive(Clone, Debug, Default, clap::Args)]
struct List {
    /// Configuration file, for its database; else that of the variable RAMAL_CONFIG
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How many, the newest last; 10, or with --domain all
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    last: Option<u32>,
    /// Only those of a tenant: a domain name or UUID
    #[arg(long, value_name = "DOMAIN")]
    domain: Option<String>,
    /// Only those in which these words were said, or words that begin so
    #[arg(long, value_name = "WORDS", requires = "domain")]
    search: Option<String>,
    /// Only those with this caller
    #[arg(long, value_name = "NUMBER", requires = "domain")]
    caller: Option<String>,
    /// Only those that began on this day (2026-11-26) or at this moment (RFC 3339), or later
    #[arg(long, value_name = "TIME", value_parser = keeping::moment, requires = "domain")]
    from: Option<DateTime<Utc>>,
    /// Only those that began before
    #[arg(long, value_name = "TIME", value_parser = keeping::moment, requires = "domain")]
    to: Option<DateTime<Utc>>,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    /// A table for other programs
    #[arg(long, conflicts_with = "json")]
    csv: bool,
}

/// Runs the command.
///
/// # Errors
/// A wrong configuration, a database that cannot be read, a recording that cannot be deleted.
pub async fn run(args: &Args) -> anyhow::Result<()> {
    let text = match &args.what {
        None => return listing::run(&args.list, &mut io::stdout().lock()).await,
        Some(What::Erase(Erase { config, domain, caller, to })) => {
            let which = Which { caller: Some(caller.clone()), before: *to, ..Which::default() };
            keeping::erase(&super::load(config.as_deref())?, domain, which).await?
        }
        Some(What::Release(Release { config, domain, node })) => {
            keeping::release(&super::load(config.as_deref())?, domain, node).await?
        }
        Some(What::Audit(Audit { config, domain, last })) => {
            keeping::deeds(&super::load(config.as_deref())?, domain, *last).await?
        }
    };
    Ok(written(io::stdout().lock().write_all(text.as_bytes()))?)
}

/// One conversation: a line about it, how it ended, a line for each turn.
fn show(conversation: &Conversation, started: DateTime<FixedOffset>, paint: Paint) -> String {
    let colour = match conversation.outcome {
        Outcome::Completed | Outcome::Transferred => "32",
        Outcome::Abandoned | Outcome::Timeout => "33",
        Outcome::Failed => "31",
    };
    let to = conversation.transfer_destination.as_ref().map(|to| format!(" to {}", plain(to))).unwrap_or_default();
    let outcome = paint.on(colour, &format!("{}{to}", conversation.outcome.as_str()));
    let mut text = format!(
        "{}  {} called {}  {} s  {outcome}  {} {}\n    {}\n",
        paint.on("1", &started.format("%Y-%m-%d %H:%M:%S").to_string()),
        plain(&conversation.caller_id),
        plain(&conversation.destination),
        conversation.duration().as_secs(),
        plain(&conversation.provider),
        paint.on("2", &plain(&conversation.engine)),
        plain(&conversation.end_reason),
    );
    let mut changes = conversation.changes.iter().peekable();
    for turn in &conversation.turns {
        while let Some(change) = changes.next_if(|change| change.at <= turn.at) {
            text.push_str(&change_line(change, paint));
        }
        text.push_str(&line(turn, paint));
    }
    changes.for_each(|change| text.push_str(&change_line(change, paint)));
    conversation.listened.iter().for_each(|listened| text.push_str(&listened_line(listened, paint)));
    text.push('\n');
    text
}

fn listened_line(Listened { who, from, to }: &Listened, paint: Paint) -> String {
    let (from, to) = (from.as_secs_f64(), to.as_secs_f64());
    format!("  {}\n", paint.on("33", &format!("{from:7.1} s  {} listened until {to:.1} s", plain(who))))
}

fn line(turn: &TurnRecord, paint: Paint) -> String {
    let colour = match turn.who {
        Speaker::Caller => "36",
        Speaker::Assistant => "35",
    };
    let who = paint.on(colour, &format!("{:<9}", turn.who.as_str()));
    let mut text = format!("  {:>6.1} s  {who}  {}", turn.at.as_secs_f64(), plain(&turn.text));
    let mut notes = Vec::new();
    if turn.cut {
        let heard = turn.heard.unwrap_or(Duration::ZERO);
        notes.push(format!("cut off after {:.1} s", heard.as_secs_f64()));
    }
    if let Some(latency) = turn.latency {
        notes.push(format!("answered in {} ms", latency.as_millis()));
    }
    if !notes.is_empty() {
        // Writing to a String cannot fail.
        let _ = write!(text, "  {}", paint.on("2", &format!("({})", notes.join(", "))));
    }
    text.push('\n');
    if let (Some(waterfall), Some(latency)) = (turn.waterfall, turn.latency) {
        let _ = writeln!(text, "{:>11}{}", "", paint.on("2", &picture(waterfall, latency)));
    }
    text
}

fn change_line(change: &Change, paint: Paint) -> String {
    let lost = match change.lost.as_millis() {
        0 => String::new(),
        lost => format!(", {lost} ms of the caller's words lost"),
    };
    let note = format!(
        "{} went on after {} ms without {}{lost}: {}",
        plain(&change.to),
        change.gap.as_millis(),
        plain(&change.from),
        plain(&change.why)
    );
    format!("  {:>6.1} s  {}\n", change.at.as_secs_f64(), paint.on("33", &note))
}

/// What a reply waited for, a letter for 50 ms: `e`nd of turn, `m`odel, where it is told apart, `p`rovider, and the way to
/// the `w`ire.
fn picture(waterfall: Waterfall, latency: Duration) -> String {
    let Waterfall { decided, thought, audio } = waterfall;
    let decided = decided.unwrap_or_default().min(audio);
    let thought = thought.map(|thought| thought.clamp(decided, audio));
    let model = thought.map(|thought| ('m', thought.saturating_sub(decided), "first word"));
    let speech = audio.saturating_sub(thought.unwrap_or(decided));
    let (turn, wire) = (('e', decided, "end of turn"), ('w', latency.saturating_sub(audio), "first packet"));
    let steps: Vec<_> = [turn].into_iter().chain(model).chain([('p', speech, "first audio"), wire]).collect();
    let letters = |length: Duration| usize::try_from(length.as_millis().div_ceil(50)).unwrap_or(WIDEST).min(WIDEST);
    let bar: String = steps.iter().map(|(letter, length, _)| letter.to_string().repeat(letters(*length))).collect();
    let legend: Vec<String> =
        steps.iter().map(|(_, length, what)| format!("{what} {} ms", length.as_millis())).collect();
    format!("|{bar}|  {}", legend.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::bare;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    pub(super) fn conversation() -> Conversation {
        let bare = bare();
        let turn = |who, text: &str, at, cut, latency| TurnRecord {
            who,
            text: text.into(),
            at: Duration::from_millis(at),
            heard: Some(Duration::from_millis(1_540)),
            cut,
            latency,
            waterfall: None,
        };
        Conversation {
            destination: "8001".into(),
            ended_at: bare.started_at + Duration::from_secs(42),
            turns: vec![
                turn(Speaker::Assistant, "Olá, esta é", 0, true, None),
                turn(Speaker::Caller, "Financeiro\x1b[2J", 2_100, false, None),
                TurnRecord {
                    waterfall: Some(Waterfall { decided: Some(ms(120)), thought: None, audio: ms(260) }),
                    ..turn(Speaker::Assistant, "Vou transferir.", 3_000, false, Some(ms(280)))
                },
            ],
            changes: vec![Change {
                at: ms(2_800),
                from: "openai m".into(),
                to: "local".into(),
                why: "connection: it broke".into(),
                gap: ms(320),
                lost: ms(0),
            }],
            outcome: Outcome::Transferred,
            end_reason: "the PBX took the caller".into(),
            transfer_destination: Some("1002".into()),
            audio: Duration::from_secs(42),
            listened: vec![Listened { who: "uid 0".into(), from: ms(1_000), to: ms(3_000) }],
            ..bare
        }
    }

    #[test]
    fn a_conversation_reads_like_one() {
        let conversation = conversation();
        let shown = show(&conversation, conversation.started_at.fixed_offset(), Paint::Plain);
        let want = "\
2026-09-21 14:13:20  1001 called 8001  42 s  transferred to 1002  local whisper tiny
    the PBX took the caller
     0.0 s  assistant  Olá, esta é  (cut off after 1.5 s)
     2.1 s  caller     Financeiro [2J
     2.8 s  local went on after 320 ms without openai m: connection: it broke
     3.0 s  assistant  Vou transferir.  (answered in 280 ms)
           |eeepppw|  end of turn 120 ms, first audio 140 ms, first packet 20 ms
      1.0 s  uid 0 listened until 3.0 s

";
        assert_eq!(shown, want);
    }

    #[test]
    fn the_model_of_parts_has_a_step_of_its_own_unless_it_was_ready_before_the_turn_was_over() {
        let shown =
            |thought| picture(Waterfall { decided: Some(ms(100)), thought: Some(thought), audio: ms(300) }, ms(310));
        let late = "|eemmmpw|  end of turn 100 ms, first word 150 ms, first audio 50 ms, first packet 10 ms";
        assert_eq!(shown(ms(250)), late);
        assert!(shown(ms(50)).contains("first word 0 ms, first audio 200 ms"));
    }

    #[test]
    fn colour_only_adds() {
        let conversation = conversation();
        let at = conversation.started_at.fixed_offset();
        let mut coloured = show(&conversation, at, Paint::Ansi);
        for code in ["0", "1", "2", "31", "32", "33", "35", "36"] {
            coloured = coloured.replace(&format!("\x1b[{code}m"), "");
        }
        assert_eq!(coloured, show(&conversation, at, Paint::Plain));
    }
}
