//! `ramal status` and `ramal metrics`: how a running server is, for a person and for a machine.
use super::{ask::Where, config::written};
use crate::{
    breaker::State,
    control::{
        Ask, BudgetStatus, CallMedia, ProviderStatus, Registered, Reply, RtpStatus, Standing, Status, TenancyStatus,
    },
    paint::{Paint, plain},
    record::{MediaQuality, MicroUsd, WayQuality},
};
use anyhow::Context;
use std::{
    fmt::Write as _,
    io::{self, Write as _},
};

/// Calls shown at most.
const SHOWN: usize = 20;

/// Shows how the running server is: registrations, calls, what SIP counts.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// One JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: Where,
}

/// Prints what the running server counts, in Prometheus text format.
#[derive(Clone, Debug, clap::Args)]
pub struct MetricsArgs {
    #[command(flatten)]
    server: Where,
}

/// Runs `ramal status`.
///
/// # Errors
/// No server answers.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let reply = args.server.ask(Ask::Status)?.next().context("the server says nothing")??;
    let Reply::Status(status) = reply else { anyhow::bail!("the server says something else") };
    let text = match args.json {
        true => serde_json::to_string(&status)? + "\n",
        false => show(&status, super::paint()),
    };
    Ok(written(io::stdout().lock().write_all(text.as_bytes()))?)
}

/// Runs `ramal metrics`.
///
/// # Errors
/// No server answers.
pub fn metrics(args: &MetricsArgs) -> anyhow::Result<()> {
    let reply = args.server.ask(Ask::Metrics)?.next().context("the server says nothing")??;
    let Reply::Metrics { text } = reply else { anyhow::bail!("the server says something else") };
    Ok(written(io::stdout().lock().write_all(text.as_bytes()))?)
}

fn show(status: &Status, paint: Paint) -> String {
    let mut text = format!(
        "{} {}, up {}\n{}\n",
        paint.on("1", "Ramal"),
        status.version,
        span(status.up_s),
        paint.on("2", &format!("listening on {}", status.listeners.join(", ")))
    );
    text.push_str(&format!("\n{}\n", paint.on("1", "Registrations")));
    if status.registrations.is_empty() {
        text.push_str("  none configured\n");
    }
    for registered in &status.registrations {
        text.push_str(&line(registered, paint));
    }
    if !status.providers.is_empty() {
        text.push_str(&format!("\n{}\n", paint.on("1", "Providers")));
    }
    for provider in &status.providers {
        text.push_str(&provider_line(provider, paint));
    }
    let sip = &status.sip;
    let limits = limits(&status.tenancy, paint);
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        "\n{}\n  {} with a secretary, {} legs, {} transactions\n  {}\n{}{limits}\n{}\n",
        paint.on("1", "Calls"),
        status.calls,
        sip.legs,
        sip.transactions,
        ports(&status.rtp, paint),
        media(&status.media, status.poor_below_mos, paint),
        paint.on("1", "SIP since the start"),
    );
    let counts = [
        ("messages read", sip.received, Paint::Plain),
        ("not readable", sip.parse_errors, paint),
        ("sent again by us", sip.retransmissions, paint),
        ("requests that came again", sip.repeated_requests, paint),
        ("requests refused", sip.refused, paint),
        ("calls refused for want of room", sip.overloaded, paint),
        ("messages of strangers", sip.strangers, paint),
        ("messages of scanners", sip.scanners, paint),
        ("messages of strangers beyond their budget", sip.rate_limited, paint),
        ("requests asked for a proof", sip.challenged, Paint::Plain),
        ("wrong proofs", sip.auth_failures, paint),
        ("stray responses and ACKs", sip.stray, paint),
    ];
    for (what, count, paint) in counts {
        let number = format!("{count:>10}");
        let number = if count > 0 { paint.on("33", &number) } else { number };
        let _ = writeln!(text, "{number}  {what}");
    }
    let trace = &status.trace;
    let mib = trace.bytes as f64 / f64::from(1 << 20);
    let kept = format!("{} kept in {mib:.1} MiB, {} gone for newer ones", trace.calls, trace.evicted);
    let _ = write!(text, "\n{}\n  {kept}\n", paint.on("1", "Traces"));
    text
}

fn ports(rtp: &RtpStatus, paint: Paint) -> String {
    let RtpStatus { pairs, free, refused } = rtp;
    let text = format!("{free} of {pairs} pairs of RTP ports are free, {refused} calls got none");
    if *refused > 0 { paint.on("33", &text) } else { text }
}

/// What limits and budgets did, where they did anything.
fn limits(tenancy: &TenancyStatus, paint: Paint) -> String {
    let mut text = String::new();
    let refused: Vec<String> = tenancy
        .refused
        .iter()
        .filter(|(_, count)| **count > 0)
        .map(|(limit, count)| format!("{count} for {}", limit.replace('_', " ")))
        .collect();
    if !refused.is_empty() {
        let line = format!("refused by limits: {}", refused.join(", "));
        text.push_str(&format!("  {}\n", paint.on("33", &line)));
    }
    let alone = tenancy.alone;
    match tenancy.redis {
        Some(true) => text.push_str(&format!("  limits are shared; {alone} calls were let in without Redis\n")),
        Some(false) => {
            let line = format!("Redis does not answer: limits are local; {alone} calls were let in without it");
            text.push_str(&format!("  {}\n", paint.on("31", &line)));
        }
        None => {}
    }
    for (model, calls) in &tenancy.unpriced {
        let line = format!("{} has no price: {calls} calls may have cost more than they are told to", plain(model));
        text.push_str(&format!("  {}\n", paint.on("33", &line)));
    }
    for BudgetStatus { domain, month, limit, spent, reserved } in &tenancy.budgets {
        let [limit, spent, reserved] = [limit, spent, reserved].map(|micros| MicroUsd(*micros).dollars());
        let line = format!("{} spent ${spent:.2} of ${limit:.2} in {month}, ${reserved:.2} reserved", plain(domain));
        text.push_str(&format!("  {}\n", if spent >= limit { paint.on("31", &line) } else { line }));
    }
    text
}

/// The calls that were measured, the worst first; those below the server's limit are marked.
fn media(calls: &[CallMedia], poor_below: f64, paint: Paint) -> String {
    let mut calls: Vec<&CallMedia> = calls.iter().collect();
    // A way on which nothing is heard is worse than any that is.
    let mos = |way: &WayQuality| way.score.map_or(f64::NEG_INFINITY, |score| score.mos_cq);
    let worst = |call: &CallMedia| {
        let down = call.quality.downlink.as_ref().map_or(f64::INFINITY, mos);
        mos(&call.quality.uplink).min(down)
    };
    calls.sort_by(|one, other| worst(one).total_cmp(&worst(other)));
    let more = calls.len().saturating_sub(SHOWN);
    let marked = |call: &CallMedia| if worst(call) < poor_below { paint } else { Paint::Plain };
    let mut text: String = calls.iter().take(SHOWN).map(|call| call_line(call, marked(call))).collect();
    if more > 0 {
        text.push_str(&format!("  … and {more} more\n"));
    }
    text
}

fn call_line(call: &CallMedia, paint: Paint) -> String {
    let CallMedia { conversation, quality } = call;
    let MediaQuality { codec, crypto, remote, uplink, downlink, round_trip_ms, foreign, foreign_from, .. } = quality;
    let way = |name: &str, way: &WayQuality| {
        let Some(score) = way.score else { return format!("{name} nothing heard") };
        let (mos, loss, jitter) = (score.mos_cq, way.loss_percent(), way.jitter_ms);
        format!("{name} MOS {mos:.2} ({loss:.1} % lost, jitter {jitter:.0} ms)")
    };
    let mut parts = vec![way("up", uplink)];
    parts.push(downlink.as_ref().map_or_else(|| "down not reported".to_owned(), |downlink| way("down", downlink)));
    parts.extend(round_trip_ms.map(|ms| format!("round trip {ms:.0} ms")));
    parts.extend(foreign_from.map(|from| format!("{foreign} foreign packets, the first from {from}")));
    let text = paint.on("33", &parts.join(", "));
    let crypto = crypto.as_ref().map(|suite| format!(" {}", plain(suite))).unwrap_or_default();
    format!("  {conversation}  {}{crypto} {remote}  {text}\n", plain(codec))
}

fn line(registered: &Registered, paint: Paint) -> String {
    let colour = match registered.state {
        Standing::Registered => "32",
        Standing::Trying | Standing::Looking => "33",
        Standing::Failed | Standing::Removed => "31",
    };
    let state = paint.on(colour, &format!("{:<10}", registered.state.as_str()));
    let mut notes = Vec::new();
    notes.extend(registered.code.map(|code| format!("last answer {code}")));
    notes.extend(registered.expires_s.map(|seconds| format!("for {}", span(seconds))));
    notes.extend(registered.next_in_s.map(|seconds| format!("next REGISTER in {}", span(seconds))));
    if registered.state == Standing::Looking {
        notes.push("its registrar's name has no address yet".to_owned());
    }
    let (account, registrar) = (plain(&registered.account), plain(&registered.registrar));
    format!("  {state}  {account} at {registrar}  {}\n", paint.on("2", &notes.join(", ")))
}

/// Whether calls begin there, and how those before went.
fn provider_line(provider: &ProviderStatus, paint: Paint) -> String {
    let (colour, word) = match provider.state {
        State::Closed => ("32", "used"),
        State::HalfOpen => ("33", "tried"),
        State::Open => ("31", "avoided"),
    };
    let mut notes = vec![format!("{} conversations", provider.ready)];
    notes.extend(provider.failures.iter().map(|(kind, count)| format!("{count} failed ({kind})")));
    notes.extend(provider.open_for_s.map(|seconds| format!("for another {}", span(seconds))));
    let state = paint.on(colour, &format!("{word:<10}"));
    let key = provider.key_of.as_ref().map(|tenant| format!(" with the key of {}", plain(tenant))).unwrap_or_default();
    format!(
        "  {state}  {} at {}{key}  {}\n",
        plain(&provider.provider),
        plain(&provider.at),
        paint.on("2", &notes.join(", "))
    )
}

/// `2 d 03:04:05`, `03:04:05`, `45 s`.
fn span(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match seconds {
        ..60 => format!("{seconds} s"),
        60..86_400 => format!("{hours:02}:{minutes:02}:{:02}", seconds % 60),
        86_400.. => format!("{days} d {hours:02}:{minutes:02}:{:02}", seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        control::{SipStatus, SrtpStatus},
        record::{Score, Trouble},
        trace::Counters,
    };

    fn measured_call() -> CallMedia {
        CallMedia {
            conversation: uuid::Uuid::from_u128(1),
            quality: MediaQuality {
                codec: "PCMU".into(),
                crypto: None,
                remote: "192.0.2.1:4000".parse().unwrap(),
                round_trip_ms: Some(42.4),
                round_trip_max_ms: Some(60.0),
                received: 930,
                late: 0,
                duplicated: 0,
                reordered: 0,
                concealed_ms: 1_400,
                sent: 1_000,
                foreign: 3,
                foreign_from: "203.0.113.9:5000".parse().ok(),
                uplink: WayQuality {
                    expected: 1_000,
                    lost: 70,
                    mean_run: Some(3.0),
                    jitter_ms: 2.4,
                    jitter_p95_ms: 4.0,
                    jitter_max_ms: 9.0,
                    score: Some(Score { r: 69.1, mos_cq: 3.56, mos_lq: 3.56, mos_min: 3.4 }),
                },
                downlink: None,
                trouble: Trouble::default(),
            },
        }
    }

    #[test]
    fn a_call_in_which_nothing_is_heard_is_the_worst() {
        let (bad, mut deaf, mut mute) = (measured_call(), measured_call(), measured_call());
        deaf.conversation = uuid::Uuid::from_u128(2);
        deaf.quality.uplink = WayQuality { expected: 0, lost: 0, score: None, ..deaf.quality.uplink };
        mute.conversation = uuid::Uuid::from_u128(3);
        mute.quality.downlink = Some(deaf.quality.uplink);
        let text = media(&[bad, deaf, mute], 3.6, Paint::Plain);
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let order: Vec<char> = lines.iter().filter_map(|line| line.split(' ').next()?.chars().last()).collect();
        assert_eq!(order, ['2', '3', '1'], "{text}");
        assert!(lines[0].contains("up nothing heard, down not reported"), "{text}");
        assert!(lines[1].contains("down nothing heard"), "{text}");
    }

    #[test]
    fn the_server_says_which_opinion_of_a_call_is_poor() {
        let is_marked = |poor_below| media(&[measured_call()], poor_below, Paint::Ansi).contains("\x1b[33m");
        assert!(is_marked(3.6) && !is_marked(3.5));
    }

    #[test]
    fn a_call_over_srtp_is_shown_with_its_suite() {
        let mut call = measured_call();
        call.quality.crypto = Some("AES_CM_128_HMAC_SHA1_80".into());
        let text = media(&[call], 3.6, Paint::Plain);
        assert!(text.contains("  PCMU AES_CM_128_HMAC_SHA1_80 192.0.2.1:4000  up MOS"), "{text}");
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "a whole page")]
    fn the_state_of_a_server_reads_at_a_glance() {
        let registered = |state, code, next_in_s| Registered {
            account: "2000@pbx.example".into(),
            registrar: "pbx.example:5060".into(),
            state,
            code,
            expires_s: code.filter(|code| *code == 200).map(|_| 300),
            next_in_s,
        };
        let status = Status {
            version: "0.1.0".into(),
            up_s: 93_784,
            listeners: vec!["udp 127.0.0.1:5070".into(), "tcp 127.0.0.1:5070".into()],
            registrations: vec![
                registered(Standing::Registered, Some(200), Some(42)),
                registered(Standing::Failed, Some(403), Some(1_700)),
            ],
            calls: 1,
            rtp: RtpStatus { pairs: 500, free: 499, refused: 0 },
            providers: vec![ProviderStatus {
                provider: "openai".into(),
                at: "api.openai.com".into(),
                key_of: None,
                state: State::Open,
                ready: 7,
                failures: [("connection".to_owned(), 3)].into(),
                open_for_s: Some(12),
            }],
            media: vec![measured_call()],
            poor_below_mos: 3.6,
            tenancy: TenancyStatus {
                refused: [("domain_calls".to_owned(), 4), ("budget".to_owned(), 0)].into(),
                redis: Some(false),
                alone: 2,
                budgets: vec![BudgetStatus {
                    domain: "a.example".into(),
                    month: "2026-11".into(),
                    limit: 100_000_000,
                    spent: 1_500_000,
                    reserved: 250_000,
                }],
                unpriced: [("gpt-next".to_owned(), 2)].into(),
                ..TenancyStatus::default()
            },
            sip: SipStatus::from(sip::Stats { received: 12, legs: 1, ..sip::Stats::default() }),
            srtp: SrtpStatus::default(),
            trace: Counters { calls: 3, bytes: 1 << 19, ..Counters::default() },
        };
        let want = "\
Ramal 0.1.0, up 1 d 02:03:04
listening on udp 127.0.0.1:5070, tcp 127.0.0.1:5070

Registrations
  registered  2000@pbx.example at pbx.example:5060  last answer 200, for 00:05:00, next REGISTER in 42 s
  failed      2000@pbx.example at pbx.example:5060  last answer 403, next REGISTER in 00:28:20

Providers
  avoided     openai at api.openai.com  7 conversations, 3 failed (connection), for another 12 s

Calls
  1 with a secretary, 1 legs, 0 transactions
  499 of 500 pairs of RTP ports are free, 0 calls got none
  00000000-0000-0000-0000-000000000001  PCMU 192.0.2.1:4000  up MOS 3.56 (7.0 % lost, jitter 2 ms), down not reported, round trip 42 ms, 3 foreign packets, the first from 203.0.113.9:5000
  refused by limits: 4 for domain calls
  Redis does not answer: limits are local; 2 calls were let in without it
  gpt-next has no price: 2 calls may have cost more than they are told to
  a.example spent $1.50 of $100.00 in 2026-11, $0.25 reserved

SIP since the start
        12  messages read
         0  not readable
         0  sent again by us
         0  requests that came again
         0  requests refused
         0  calls refused for want of room
         0  messages of strangers
         0  messages of scanners
         0  messages of strangers beyond their budget
         0  requests asked for a proof
         0  wrong proofs
         0  stray responses and ACKs

Traces
  3 kept in 0.5 MiB, 0 gone for newer ones
";
        assert_eq!(show(&status, Paint::Plain), want);
    }
}
