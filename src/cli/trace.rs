//! `ramal trace`: the SIP messages of a call, from a running server.
use super::{ask::Where, config::written};
use crate::{
    control::{Ask, MessageLine, Reply},
    trace::{
        Entry, Trace,
        ladder::{self, Detail, Ladder, View},
        pcap,
    },
};
use anyhow::{Context, bail};
use chrono::Local;
use serde_json::json;
use sip::message::{Message, Method};
use std::{
    fs,
    io::{self, IsTerminal, Write},
    path::PathBuf,
};

/// Shows the SIP messages of a call as a ladder, from the running server.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Call-ID or conversation, or how either begins; "last" for the newest call
    #[arg(value_name = "CALL-ID", default_value = "last", hide_default_value = true)]
    call: String,
    /// Lists the calls that are kept, the newest last
    #[arg(long, conflicts_with_all = ["call", "follow", "pcap", "messages"])]
    list: bool,
    /// Shows messages as they pass, of the call named or of all, until interrupted
    #[arg(long, short)]
    follow: bool,
    /// With --follow and --list: pings and registrations too
    #[arg(long)]
    all: bool,
    /// Writes a capture file for Wireshark instead; "-" for standard output
    #[arg(long, value_name = "FILE", conflicts_with_all = ["follow", "json", "messages"])]
    pcap: Option<PathBuf>,
    /// Each message in full, below its arrow
    #[arg(long, short)]
    messages: bool,
    /// One JSON object a message (with --list: a call), for machines
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: Where,
}

/// Runs the command.
///
/// # Errors
/// No server answers, or it keeps no such call.
pub fn run(args: &Args) -> anyhow::Result<()> {
    if args.list {
        return list(args);
    }
    if args.follow {
        return follow(args);
    }
    let trace = fetch(args)?;
    if let Some(path) = &args.pcap {
        let file = pcap::file(&trace.entries);
        if path.as_os_str() == "-" {
            return Ok(written(io::stdout().lock().write_all(&file))?);
        }
        return fs::write(path, file).with_context(|| format!("cannot write {}", path.display()));
    }
    let text = match args.json {
        true => trace.entries.iter().map(|entry| json(entry) + "\n").collect(),
        false => ladder::ladder(&trace, view(args)),
    };
    Ok(written(io::stdout().lock().write_all(text.as_bytes()))?)
}

fn fetch(args: &Args) -> anyhow::Result<Trace> {
    let (mut summary, mut entries) = (None, Vec::new());
    for reply in args.server.ask(Ask::Trace { call: args.call.clone() })? {
        match reply? {
            Reply::Call(call) => summary = Some(call.into()),
            Reply::Message(message) => entries.push(message.into()),
            Reply::Following
            | Reply::Missed { .. }
            | Reply::Status(_)
            | Reply::Metrics { .. }
            | Reply::Live(_)
            | Reply::Listening { .. }
            | Reply::Heard { .. }
            | Reply::End
            | Reply::Refused { .. } => {}
        }
    }
    let Some(summary) = summary else {
        match args.call.as_str() {
            "last" => bail!("the server has seen no call yet; `ramal trace --follow` shows the next as it comes"),
            call => {
                bail!("no call {call:?} is kept, or more than one begins so; `ramal trace --list` names those kept")
            }
        }
    };
    Ok(Trace { summary, entries })
}

fn list(args: &Args) -> anyhow::Result<()> {
    let mut text = String::new();
    for reply in args.server.ask(Ask::Calls)? {
        let Reply::Call(call) = reply? else { continue };
        if !args.all && !call.progress.is_call() {
            continue;
        }
        if args.json {
            text.push_str(&serde_json::to_string(&call)?);
        } else {
            let progress = format!("{:?}", call.progress).to_lowercase();
            let entry = Entry::from(call.first);
            text.push_str(&format!("{progress:<13} {:>4}  {}", call.messages, ladder::title(&entry, view(args))));
        }
        text.push('\n');
    }
    if text.is_empty() && !args.json {
        text.push_str("No call is kept yet.\n");
    }
    Ok(written(io::stdout().lock().write_all(text.as_bytes()))?)
}

fn follow(args: &Args) -> anyhow::Result<()> {
    let call = Some(args.call.clone()).filter(|call| call != "last");
    let everything = args.all || call.is_some();
    let mut out = io::stdout().lock();
    let mut ladder = Ladder::live(view(args));
    for reply in args.server.ask(Ask::Follow { call })? {
        let text = match reply? {
            Reply::Message(message) => {
                let entry = Entry::from(message);
                if !everything && is_routine(&entry) {
                    continue;
                }
                if args.json { json(&entry) + "\n" } else { ladder.follow(&entry) }
            }
            Reply::Following => {
                eprintln!("following; Ctrl-C ends");
                continue;
            }
            Reply::Missed { messages } => format!("… {messages} messages came faster than they could be shown\n"),
            Reply::Call(_)
            | Reply::Status(_)
            | Reply::Metrics { .. }
            | Reply::Live(_)
            | Reply::Listening { .. }
            | Reply::Heard { .. }
            | Reply::End
            | Reply::Refused { .. } => continue,
        };
        if let Err(error) = out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            return Ok(written(Err(error))?);
        }
    }
    Ok(())
}

/// A ping or a registration, or the answer to one.
fn is_routine(entry: &Entry) -> bool {
    let cseq = Message::parse(&entry.bytes).ok().and_then(|message| message.headers().cseq());
    cseq.is_some_and(|cseq| matches!(cseq.method, Method::Options | Method::Register))
}

/// For machines: the text of the message, and its bytes only where it is no text.
fn json(entry: &Entry) -> String {
    let MessageLine { number, direction, transport, local, remote, call_id, base64, .. } = entry.into();
    let at = entry.time().to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
    let mut object = json!({
        "number": number, "at": at, "direction": direction, "transport": transport, "local": local, "remote": remote,
        "call_id": call_id,
    });
    match std::str::from_utf8(&entry.bytes) {
        Ok(text) => object["message"] = text.into(),
        Err(_) => object["base64"] = base64.into(),
    }
    object.to_string()
}

fn view(args: &Args) -> View {
    let width = console::Term::stdout().size_checked().map(|(_, columns)| usize::from(columns));
    View {
        width: width.filter(|_| io::stdout().is_terminal()),
        paint: super::paint(),
        detail: if args.messages { Detail::Messages } else { Detail::Arrows },
        zone: *Local::now().offset(),
    }
}
