//! `ramal demo`: a server on its embedded defaults, and a real SIP call into it with recorded speech.
use super::live::LiveView;
use crate::{
    config::{self, Config, Environment, Listener},
    drivers::{dns::Dns, phone_task, rtp_socket::Ports, server::Server},
    dtmf::Dtmf,
    phone::{Clip, HangUp, Plan, Report, When},
    record::Conversation,
    wav,
};
use anyhow::{Context, ensure};
use clap::{Args, ValueEnum};
use media::codec::Codec;
use providers::local::Language;
use sip::{
    Transport,
    locate::{Reach, Target},
};
use std::{
    fs,
    io::Write,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// Starts a server without any configuration or key, calls it, and shows the call.
#[derive(Args, Clone, Debug)]
pub struct DemoArgs {
    /// Where the recording, the transcript and the database go.
    #[arg(long, value_name = "DIR", default_value = "ramal-demo")]
    pub out: PathBuf,
    /// What the caller speaks.
    #[arg(long, value_enum, default_value_t = Tongue::En)]
    pub language: Tongue,
    /// Where the models are, if not at their usual place.
    #[arg(long, value_name = "DIR", env = "RAMAL_LOCAL_MODELS_DIR")]
    pub models: Option<PathBuf>,
}

/// Languages of the demonstration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Tongue {
    /// English, secretary 8000.
    En,
    /// Portuguese, secretary 8001.
    Pt,
}

/// One recorded sentence of the caller.
struct Line {
    wav: &'static [u8],
    when: When,
}

macro_rules! speech {
    ($file:literal) => {
        include_bytes!(concat!("../../tests/fixtures/speech/", $file))
    };
}

/// How long the assistant may speak before the impatient caller interrupts.
const IMPATIENCE: Duration = Duration::from_millis(1_500);
/// The demonstration's ports: one below the default, so that a server of yours may be up meanwhile.
const RTP_PORTS: std::ops::RangeInclusive<u16> = 29_000..=29_098;

/// Runs the command.
///
/// # Errors
/// The call did not work; the message says where.
pub async fn run(args: DemoArgs) -> anyhow::Result<()> {
    fs::create_dir_all(&args.out).with_context(|| format!("cannot make {}", args.out.display()))?;
    let server = Server::start(config(&args)?).await.context("the demonstration's server did not start")?;
    let at = server.bound.first().map(|(_, at)| *at).context("the server has no UDP socket")?;
    let secretary = match args.language {
        Tongue::En => "8000",
        Tongue::Pt => "8001",
    };
    let mut view = LiveView::new(lines(args.language).len());
    view.say(&format!("Server at {at}, database {}", args.out.join("ramal.db").display()));
    view.say(&format!(
        "Speech engine: {}",
        server.engine.capabilities().identity(match args.language {
            Tongue::En => Language::EnUs,
            Tongue::Pt => Language::PtBr,
        })
    ));
    view.say(&format!("Calling sip:{secretary}@{at} …"));
    let (report, conversation) = place_call(&server, at, secretary, args.language, &mut view).await?;
    view.finish();
    let files = save(&args.out, &report, &conversation)?;
    server.stop(std::future::ready(())).await;
    summary(&args, &report, &conversation, &files)
}

fn config(args: &DemoArgs) -> anyhow::Result<Config> {
    let mut config = Config::load(None, &Environment::default())?;
    config.sip.listeners = vec![Listener::plain(Transport::Udp, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))];
    config.database.url = crate::config::Secret::new(format!("sqlite:{}", args.out.join("ramal.db").display()));
    config.call.drain = Duration::from_secs(1);
    if let Some(models) = &args.models {
        config.local.models_dir.clone_from(models);
    }
    Ok(config)
}

async fn place_call(
    server: &Server,
    at: SocketAddr,
    secretary: &str,
    language: Tongue,
    view: &mut LiveView,
) -> anyhow::Result<(Report, Conversation)> {
    let mut events = server.watch();
    let clips = lines(language).iter().map(clip).collect::<anyhow::Result<_>>()?;
    let plan = Plan {
        clips,
        keys: Vec::new(),
        duration: Duration::from_secs(180),
        answer_within: Duration::from_secs(20),
        hang_up: HangUp::WhenSaid,
    };
    let dial = phone_task::Dial {
        route: Vec::new(),
        dns: Arc::new(Dns::new(&[], Reach::new([(Transport::Udp, at.ip())]))?),
        targets: vec![Target { transport: Transport::Udp, remote: at, name: at.ip().to_string() }],
        tls: config::Tls::default(),
        to: format!("sip:{secretary}@{at}"),
        from_user: "demo".to_owned(),
        from_display: "Ramal demo".to_owned(),
        credentials: None,
        x_headers: Vec::new(),
        session_expires: sip::SESSION_EXPIRES,
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        codecs: vec![Codec::Pcmu, Codec::Pcma],
        srtp: config::Srtp::Off,
        dtmf: Dtmf::Auto,
    };
    let sockets = Ports::new(Ipv4Addr::LOCALHOST.into(), RTP_PORTS).bind().context("no free ports for the phone")?;
    let (_stop_sender, stop) = tokio::sync::watch::channel(false);
    let (phone_events, mut heard_by_phone) = tokio::sync::mpsc::channel(256);
    let watch = move |event| {
        // A view that is behind misses a line, the call does not wait for it.
        let _ = phone_events.try_send(event);
    };
    let mut call = std::pin::pin!(phone_task::call(dial, plan, sockets, watch, stop));
    let mut record = None;
    let report = loop {
        tokio::select! {
            report = &mut call => break report?,
            Ok((_, event)) = events.recv() => record = view.server(event).or(record),
            Some(event) = heard_by_phone.recv() => view.phone(event),
            () = view.tick() => {}
        }
    };
    while record.is_none() {
        let event = tokio::time::timeout(Duration::from_secs(10), events.recv()).await;
        let (_, event) = event.context("the server did not finish the call")??;
        record = view.server(event);
    }
    let ended = report.ended_by.clone();
    ensure!(report.answered_ms.is_some(), "the call was not answered: {ended:?}");
    Ok((report, record.context("no record of the call")?))
}

/// What the caller says: two questions, an interruption, and (in English) a human voice that asks nothing the
/// secretary was taught, which she must admit.
fn lines(language: Tongue) -> Vec<Line> {
    let (turn, over) = (When::InTurn, When::Over(IMPATIENCE));
    match language {
        Tongue::En => vec![
            Line { wav: speech!("en-piper-joe-2.wav"), when: turn },
            Line { wav: speech!("en-piper-joe-9.wav"), when: over },
            Line { wav: speech!("en-check-number-dial-again.wav"), when: turn },
            Line { wav: speech!("en-piper-joe-6.wav"), when: turn },
        ],
        Tongue::Pt => vec![
            Line { wav: speech!("pt-kokoro-dora-2.wav"), when: turn },
            Line { wav: speech!("pt-kokoro-dora-3.wav"), when: over },
            Line { wav: speech!("pt-kokoro-dora-7.wav"), when: turn },
        ],
    }
}

fn clip(line: &Line) -> anyhow::Result<Clip> {
    Ok(Clip { audio: wav::narrowband(std::io::Cursor::new(line.wav), "a built-in recording")?, when: line.when })
}

/// What a call leaves behind.
struct Files {
    recording: PathBuf,
    conversation: PathBuf,
    report: PathBuf,
    phone: PathBuf,
}

fn save(out: &Path, report: &Report, conversation: &Conversation) -> anyhow::Result<Files> {
    let files = Files {
        recording: out.join("call.wav"),
        conversation: out.join("conversation.json"),
        report: out.join("report.json"),
        phone: out.join("phone.toml"),
    };
    wav::write_stereo(&files.recording, report.recording.stereo())?;
    fs::write(&files.conversation, serde_json::to_string_pretty(conversation)?)?;
    fs::write(&files.report, serde_json::to_string_pretty(report)?)?;
    let database = fs::canonicalize(out)?.join("ramal.db");
    fs::write(&files.phone, phone_settings(&database))?;
    Ok(files)
}

/// A configuration for callers from other machines, once its owner has put the addresses in.
fn phone_settings(database: &Path) -> String {
    let url = format!("sqlite:{}", database.display());
    format!(
        r#"# The demonstration's secretaries, for a phone on another machine: put in both addresses.
[sip]
udp = "127.0.0.1:5070" # this machine's address, as the phone sees it
tcp = []
[rtp]
address = "127.0.0.1" # the same
[database]
url = {url:?}
[[peers]]
name = "my phone"
addresses = ["127.0.0.1"] # the phone's address
"#
    )
}

fn summary(args: &DemoArgs, report: &Report, conversation: &Conversation, files: &Files) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    let latencies: Vec<f64> = report.turns.iter().map(|turn| turn.latency_ms).collect();
    let mean = latencies.iter().sum::<f64>() / latencies.len().max(1) as f64;
    writeln!(out)?;
    writeln!(
        out,
        "{} replies, {:.0} ms after the caller's last word on average; outcome: {}",
        latencies.len(),
        mean,
        conversation.outcome.as_str()
    )?;
    for barge_in in &report.barge_ins {
        writeln!(out, "Interrupted: silent {:.0} ms after the caller's first sound", barge_in.stopped_ms)?;
    }
    writeln!(out, "Recording     {}  (left: caller, right: secretary)", files.recording.display())?;
    writeln!(out, "Conversation  {}, and in the database", files.conversation.display())?;
    writeln!(out, "Measurements  {}", files.report.display())?;
    writeln!(out)?;
    writeln!(out, "Talk with it yourself:")?;
    writeln!(
        out,
        "  ramal serve                           then dial sip:8000@127.0.0.1:5070 (8001 speaks Portuguese)"
    )?;
    writeln!(out, "  ramal conversations                   what was said in those calls")?;
    let phone = files.phone.display();
    writeln!(out, "  ramal serve --config {phone}   for a phone on another machine; put your addresses in first")?;
    ensure!(!report.turns.is_empty(), "nobody answered the caller: see {}", args.out.display());
    Ok(())
}
