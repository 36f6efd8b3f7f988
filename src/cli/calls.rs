//! `ramal calls`, `ramal hangup` and `ramal transfer`: the calls that are up, and what becomes of them.
use super::{ask::Where, config::written};
use crate::{
    call::{LiveState, RecordingNow, steer::Order},
    control::{Ask, Reply},
    paint::{Paint, plain},
    record::MicroUsd,
    switchboard::LiveCall,
};
use anyhow::bail;
use chrono::{DateTime, Utc};
use console::measure_text_width;
use std::{
    io::{self, Write},
    thread,
    time::Duration,
};

/// How often the list is drawn anew.
const AGAIN: Duration = Duration::from_secs(1);
/// As much of a conversation's UUID as is shown: enough to name it by.
const SHORT: usize = 8;
/// The widest cell.
const WIDEST: usize = 28;
const HEAD: [&str; 10] =
    ["CALL", "STATE", "FOR", "TENANT", "SECRETARY", "CALLER", "SPEAKS", "COST", "RECORDED", "SRTP"];
const CLEAR: &str = "\x1b[H\x1b[2J";

/// Lists the calls that are up.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// One JSON object a call, with everything that is known of it
    #[arg(long)]
    json: bool,
    /// Again every second, until interrupted; with --json one array a line
    #[arg(long, short)]
    watch: bool,
    #[command(flatten)]
    server: Where,
}

/// Ends a call.
#[derive(Clone, Debug, clap::Args)]
pub struct HangUpArgs {
    /// Its conversation as `ramal calls` shows it, or how that begins
    #[arg(value_name = "CONVERSATION")]
    call: String,
    /// Lets the assistant say goodbye first
    #[arg(long)]
    goodbye: bool,
    #[command(flatten)]
    server: Where,
}

/// Sends the caller of a call to somebody.
#[derive(Clone, Debug, clap::Args)]
pub struct TransferArgs {
    /// Its conversation as `ramal calls` shows it, or how that begins
    #[arg(value_name = "CONVERSATION")]
    call: String,
    /// A name or extension of the secretary's transfer_rules
    to: String,
    #[command(flatten)]
    server: Where,
}

/// Runs `ramal calls`.
///
/// # Errors
/// No server answers.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    loop {
        let calls = fetch(&args.server)?;
        let text = match (args.json, args.watch) {
            (true, true) => serde_json::to_string(&calls)? + "\n",
            (true, false) => {
                calls.iter().map(|call| Ok(serde_json::to_string(call)? + "\n")).collect::<anyhow::Result<_>>()?
            }
            (false, true) => CLEAR.to_owned() + &table(&calls, now(), super::paint()),
            (false, false) => table(&calls, now(), super::paint()),
        };
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            // Nobody reads on.
            Err(error) if args.watch && error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            result => written(result)?,
        }
        if !args.watch {
            return Ok(());
        }
        thread::sleep(AGAIN);
    }
}

/// Runs `ramal hangup`.
///
/// # Errors
/// No server answers, or it has no such call.
pub fn hang_up(args: HangUpArgs) -> anyhow::Result<()> {
    let order = if args.goodbye { Order::SayGoodbye } else { Order::HangUp };
    steer(&args.server, args.call, order)
}

/// Runs `ramal transfer`.
///
/// # Errors
/// No server answers, or it has no such call, or it cannot go there now.
pub fn transfer(args: TransferArgs) -> anyhow::Result<()> {
    steer(&args.server, args.call, Order::Transfer { to: args.to })
}

fn steer(server: &Where, call: String, order: Order) -> anyhow::Result<()> {
    match server.ask(Ask::Steer { call, order })?.next() {
        None => Ok(()),
        Some(Err(error)) => Err(error),
        Some(Ok(_)) => bail!("the server says something else"),
    }
}

fn fetch(server: &Where) -> anyhow::Result<Vec<LiveCall>> {
    let replies = server.ask(Ask::Live)?;
    replies
        .map(|reply| match reply? {
            Reply::Live(call) => Ok(*call),
            _ => bail!("the server says something else"),
        })
        .collect()
}

fn now() -> DateTime<Utc> {
    Utc::now()
}

fn table(calls: &[LiveCall], now: DateTime<Utc>, paint: Paint) -> String {
    if calls.is_empty() {
        return "no call is up\n".to_owned();
    }
    let rows: Vec<[String; 10]> = calls.iter().map(|call| cells(call, now)).collect();
    let mut widths = HEAD.map(str::len);
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(measure_text_width(cell));
        }
    }
    let line = |cells: &[String; 10]| -> [String; 10] {
        let mut padded = cells.clone();
        for (cell, width) in padded.iter_mut().zip(widths) {
            let missing = width.saturating_sub(measure_text_width(cell));
            cell.push_str(&" ".repeat(missing));
        }
        padded
    };
    let mut text = format!("{}\n", paint.on("1", line(&HEAD.map(str::to_owned)).join("  ").trim_end()));
    for (row, call) in rows.iter().zip(calls) {
        let mut row = line(row);
        row[1] = paint.on(colour(call.state), &row[1]);
        row[8] = match call.recording {
            RecordingNow::No => row[8].clone(),
            RecordingNow::Yes => paint.on("31", &row[8]),
            RecordingNow::Paused => paint.on("33", &row[8]),
        };
        text.push_str(row.join("  ").trim_end());
        text.push('\n');
    }
    text
}

fn cells(call: &LiveCall, now: DateTime<Utc>) -> [String; 10] {
    let heard = match call.listeners {
        0 => String::new(),
        listeners => format!(", {listeners} listening"),
    };
    let recorded = match call.recording {
        RecordingNow::No => "no",
        RecordingNow::Yes => "yes",
        RecordingNow::Paused => "paused",
    };
    let cell = |text: &str| shortened(&plain(text));
    [
        call.conversation_uuid.to_string().chars().take(SHORT).collect(),
        call.state.to_string(),
        span(now - call.answered_at.unwrap_or(call.began_at)),
        cell(&call.domain_name),
        cell(&call.secretary_name),
        cell(&call.caller),
        cell(&format!("{} {}", call.provider, call.model)),
        format!("${:.4}", MicroUsd(call.spent_micro_usd).dollars()),
        format!("{recorded}{heard}"),
        cell(call.crypto.as_deref().unwrap_or("no")),
    ]
}

const fn colour(state: LiveState) -> &'static str {
    match state {
        LiveState::Ringing => "36",
        LiveState::Talking => "32",
        LiveState::Transferring => "33",
        LiveState::Closing => "35",
    }
}

fn shortened(text: &str) -> String {
    if text.chars().count() <= WIDEST {
        return text.to_owned();
    }
    text.chars().take(WIDEST - 1).chain(['…']).collect()
}

/// Minutes and seconds; hours where there are any.
fn span(time: chrono::TimeDelta) -> String {
    let seconds = time.num_seconds().max(0);
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn call(caller: &str) -> LiveCall {
        let began_at = DateTime::from_timestamp(1_790_000_000, 0).unwrap();
        LiveCall {
            conversation_uuid: Uuid::from_u128(0xabcd_ef01 << 96),
            domain_uuid: Uuid::from_u128(2),
            domain_name: "a.example".into(),
            secretary_uuid: Uuid::from_u128(3),
            secretary_name: "Ana".into(),
            caller: caller.into(),
            called: "8000".into(),
            began_at,
            answered_at: Some(began_at + Duration::from_secs(2)),
            state: LiveState::Talking,
            state_since: began_at,
            provider: "openai".into(),
            model: "gpt-realtime".into(),
            provider_since: began_at,
            spent_micro_usd: 12_345,
            spent_at: None,
            recording: RecordingNow::Paused,
            recording_since: began_at,
            listeners: 1,
            crypto: None,
        }
    }

    #[test]
    fn calls_stand_in_columns() {
        let encrypted = LiveCall { crypto: Some("AES_CM_128_HMAC_SHA1_80".into()), ..call("5511999") };
        let calls = [encrypted, call("1001\x1b[2J")];
        let now = calls[0].began_at + Duration::from_secs(127);
        let want = "\
CALL      STATE    FOR   TENANT     SECRETARY  CALLER    SPEAKS               COST     RECORDED             SRTP
abcdef01  talking  2:05  a.example  Ana        5511999   openai gpt-realtime  $0.0123  paused, 1 listening  AES_CM_128_HMAC_SHA1_80
abcdef01  talking  2:05  a.example  Ana        1001 [2J  openai gpt-realtime  $0.0123  paused, 1 listening  no
";
        assert_eq!(table(&calls, now, Paint::Plain), want);
        assert_eq!(table(&[], now, Paint::Plain), "no call is up\n");
        assert!(table(&calls, now, Paint::Ansi).contains("\x1b[32mtalking\x1b[0m"));
    }

    #[test]
    fn a_long_call_has_hours() {
        assert_eq!(span(chrono::TimeDelta::seconds(3_723)), "1:02:03");
        assert_eq!(span(chrono::TimeDelta::seconds(-1)), "0:00");
        assert_eq!(shortened(&"x".repeat(40)).chars().count(), WIDEST);
    }
}
