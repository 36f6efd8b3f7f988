//! `ramal call`: a phone in the terminal.
use super::signals::Signals;
use crate::{
    config,
    drivers::{dns::Dns, phone_task, rtp_socket::Ports, seed},
    phone::{Clip, EndedBy, Event, HangUp, Plan, Report, When},
    wav,
};
use anyhow::{Context, bail};
use clap::Args;
use media::codec::Codec;
use sip::{
    Transport,
    locate::Reach,
    uri::{Scheme, Uri},
};
use std::{
    convert::Infallible,
    io::{IsTerminal, Write},
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};
use tokio::sync::watch;

/// Calls a SIP URI, speaks, listens and measures.
#[derive(Args, Clone, Debug)]
pub struct CallArgs {
    /// Whom to call: `sip:8000@127.0.0.1:5070` (`;transport=tcp` for TCP, `;transport=tls` for TLS).
    pub uri: String,
    /// Says a WAV file, in turn; `FILE@S` says it S seconds after the answer, whoever speaks. May be repeated.
    #[arg(long, value_name = "FILE[@S]")]
    pub play: Vec<String>,
    /// Says a text through the built-in voices, after the files. May be repeated.
    #[arg(long, value_name = "TEXT")]
    pub say: Vec<String>,
    /// Language of `--say`.
    #[arg(long, default_value = "en-US", value_name = "TAG")]
    pub language: String,
    /// Says the last file or text S seconds after the answer, over whoever speaks.
    #[arg(long, value_name = "S")]
    pub barge_in_at: Option<f64>,
    /// Which keys it presses.
    #[command(flatten)]
    pub keys: Keys,
    /// Records both sides to a stereo WAV: left ours, right theirs.
    #[arg(long, value_name = "OUT.wav")]
    pub record: Option<PathBuf>,
    /// Hangs up S seconds after the answer; without it, when everything is said and answered.
    #[arg(long, value_name = "S")]
    pub duration: Option<f64>,
    /// Codecs to offer, in order.
    #[arg(long, value_delimiter = ',', default_value = "PCMU,PCMA", value_name = "LIST")]
    pub codecs: Vec<String>,
    /// Encrypts the audio: SRTP or no call, with keys in the description. Over TLS nobody on the way reads them.
    #[arg(long)]
    pub srtp: bool,
    /// Goes through a proxy, `sip:proxy.example;lr`. May be repeated, nearest first.
    #[arg(long, value_name = "URI")]
    pub route: Vec<String>,
    /// Whom it believes.
    #[command(flatten)]
    pub trust: Trust,
    /// Asks this DNS server for names in place of the system's: address and port. May be repeated.
    #[arg(long, value_name = "ADDR")]
    pub dns: Vec<SocketAddr>,
    /// Overrides the URI's transport: udp, tcp or tls. Without either, DNS says, else it is UDP.
    #[arg(long, value_parser = ["udp", "tcp", "tls"])]
    pub transport: Option<String>,
    /// User of From, and of the digest if a password is given.
    #[arg(long, default_value = "phone")]
    pub user: String,
    /// Answers a digest challenge.
    #[arg(long, env = "RAMAL_PHONE_PASSWORD", hide_env_values = true)]
    pub password: Option<String>,
    /// Adds a header, `X-Name: value`. May be repeated.
    #[arg(long = "header", value_name = "X-NAME: VALUE")]
    pub headers: Vec<String>,
    /// Our own SIP address; the port is free to choose when 0.
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDR")]
    pub listen: SocketAddr,
    /// Asks for this session interval (RFC 4028): one side refreshes the call at half of it.
    #[arg(long, default_value_t = 1800, value_parser = clap::value_parser!(u32).range(90..), value_name = "S")]
    pub session_expires: u32,
    /// Prints the report as JSON.
    #[arg(long)]
    pub json: bool,
}

/// What is pressed.
#[derive(Args, Clone, Debug)]
pub struct Keys {
    /// Presses keys, 400 ms apart, S seconds after the answer (default 2). May be repeated.
    #[arg(long, value_name = "DIGITS[@S]")]
    pub dtmf: Vec<String>,
    /// How keys go out, and the only way in which those of the other side are believed: `rfc4733`, `info` or `inband`. With
    /// `auto`, ours go by RFC 4733 if that was agreed on, else by INFO.
    #[arg(long, default_value = "auto", value_parser = ["auto", "rfc4733", "info", "inband"], value_name = "WAY")]
    pub dtmf_by: String,
}

/// Whom the phone believes, over TLS.
#[derive(Args, Clone, Debug)]
pub struct Trust {
    /// Authorities to believe beside the public ones (PEM), over TLS.
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// Believes any certificate, over TLS.
    #[arg(long)]
    pub insecure: bool,
}

/// A call without an end of its own is hung up then.
const LONGEST: Duration = Duration::from_secs(600);
/// How long a phone rings before the caller gives up.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
const KEY_DISTANCE: Duration = Duration::from_millis(400);

/// Runs the command: 0 when the call was answered, 1 when it was not.
///
/// # Errors
/// What was asked for cannot be done: a file, an address, a socket.
pub async fn run(args: CallArgs) -> anyhow::Result<ExitCode> {
    let target = target(&args).await?;
    let mut clips = files(&args)?;
    clips.extend(spoken(&args)?);
    if let Some(at) = args.barge_in_at {
        let last = clips.last_mut().context("--barge-in-at has nothing to say: add --play FILE or --say TEXT")?;
        last.when = When::At(seconds(at)?);
    }
    let mut keys = Vec::new();
    for spec in &args.keys.dtmf {
        keys.extend(keystrokes(spec)?);
    }
    keys.sort_by_key(|(at, _)| *at);
    let plan = Plan {
        clips,
        keys,
        duration: args.duration.map_or(Ok(LONGEST), seconds)?,
        answer_within: ANSWER_WITHIN,
        hang_up: if args.duration.is_some() { HangUp::AtTheEnd } else { HangUp::WhenSaid },
    };
    let ports = Ports::new(target.listen.ip(), phone_task::PORTS).bind().context("no free RTP ports for the phone")?;
    let show = !args.json && std::io::stderr().is_terminal();
    if let Some(path) = &args.record {
        wav::is_writable(path)?;
    }
    let signals = Signals::new()?;
    let (stop_sender, stop) = watch::channel(false);
    // A signal hangs up; the call then ends by itself, and is reported like any other.
    let interrupts = hang_up_on(signals, stop_sender);
    let call = phone_task::call(
        target,
        plan,
        ports,
        |event| {
            if show {
                narrate(event)
            }
        },
        stop,
    );
    let report = tokio::select! {
        report = call => report?,
        never = interrupts => match never {},
    };
    let recorded = args.record.as_ref().map_or(Ok(()), |path| wav::write_stereo(path, report.recording.stereo()));
    print(&report, &args, args.record.as_deref().filter(|_| recorded.is_ok()))?;
    recorded?;
    Ok(if report.answered_ms.is_some() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Every signal asks the call to end; this itself never does.
async fn hang_up_on(mut signals: Signals, stop: watch::Sender<bool>) -> Infallible {
    loop {
        signals.next().await;
        stop.send_replace(true);
    }
}

async fn target(args: &CallArgs) -> anyhow::Result<phone_task::Dial> {
    let uri = Uri::parse(&args.uri).with_context(|| format!("{} is not a SIP URI", args.uri))?;
    match uri.scheme() {
        Scheme::Sip | Scheme::Sips => {}
        Scheme::Tel | Scheme::Other => bail!("{} is not a SIP URI: sip:8000@127.0.0.1:5070", args.uri),
    }
    let uri = match args.route.first() {
        Some(route) => Uri::parse(route).with_context(|| format!("--route {route} is not a SIP URI"))?,
        None => uri,
    };
    let first_hop = first_hop(args, &uri)?;
    let reach = Reach::new(Transport::ALL.map(|transport| (transport, args.listen.ip())));
    let dns = Dns::new(&args.dns, reach).context("no resolver")?;
    let located = dns.locate(&first_hop, seed()).await.with_context(|| first_hop.to_string())?;
    let nearest = located.targets.first().with_context(|| format!("{} has no address", first_hop.host()))?.remote;
    let codecs = args.codecs.iter().map(|name| codec(name)).collect::<anyhow::Result<_>>()?;
    let x_headers = args.headers.iter().map(|header| split_header(header)).collect::<anyhow::Result<_>>()?;
    Ok(phone_task::Dial {
        targets: located.targets,
        dns: Arc::new(dns),
        route: args.route.clone(),
        tls: config::Tls {
            ca_file: args.trust.ca_file.clone(),
            verify_servers: !args.trust.insecure,
            ..config::Tls::default()
        },
        to: args.uri.clone(),
        from_user: user_part(&args.user)?,
        from_display: String::new(),
        credentials: args.password.clone().map(|password| (args.user.clone(), password)),
        x_headers,
        session_expires: Duration::from_secs(args.session_expires.into()),
        listen: listen(args.listen, nearest),
        codecs,
        dtmf: args.keys.dtmf_by.parse().unwrap_or_default(),
        srtp: if args.srtp { config::Srtp::Required } else { config::Srtp::Off },
    })
}

/// The URI to locate: over the transport asked for, else as it says, else as DNS does (RFC 3263 §4.1).
fn first_hop(args: &CallArgs, uri: &Uri) -> anyhow::Result<Uri> {
    let secure = uri.scheme() == Scheme::Sips;
    let asked = args.transport.as_deref().or_else(|| uri.param("transport"));
    if secure && asked.is_some_and(|name| Transport::from_param(name) == Some(Transport::Udp)) {
        bail!("{} asks for TLS, which is not to be had over UDP", args.uri);
    }
    let Some(name) = &args.transport else { return Ok(uri.clone()) };
    let scheme = if secure { "sips" } else { "sip" };
    let host = uri.param("maddr").unwrap_or(uri.host());
    let port = uri.port().map(|port| format!(":{port}")).unwrap_or_default();
    Uri::parse(&format!("{scheme}:{host}{port};transport={name}")).with_context(|| format!("{uri} over {name}"))
}

/// Loopback cannot reach beyond itself: for a far address the default becomes "any".
fn listen(asked: SocketAddr, remote: SocketAddr) -> SocketAddr {
    if asked.ip().is_loopback() && !remote.ip().is_loopback() {
        // The kernel's choice of route is our address.
        let route = std::net::UdpSocket::bind((IpAddr::from([0, 0, 0, 0]), 0)).and_then(|socket| {
            socket.connect(remote)?;
            socket.local_addr()
        });
        return route.map_or(asked, |local| SocketAddr::new(local.ip(), asked.port()));
    }
    asked
}

fn codec(name: &str) -> anyhow::Result<Codec> {
    let known = Codec::ALL.map(Codec::name).join(", ");
    Codec::of_name(name).with_context(|| format!("{name} is not a codec we have: {known}"))
}

fn split_header(header: &str) -> anyhow::Result<(String, String)> {
    let (name, value) = header.split_once(':').with_context(|| format!("{header:?} is not `X-Name: value`"))?;
    let (name, value) = (name.trim(), value.trim());
    // RFC 3261 §25.1, `token`.
    let token = |c: char| c.is_ascii_alphanumeric() || "-.!%*_+`'~".contains(c);
    if !name.to_ascii_lowercase().starts_with("x-") || !name.chars().all(token) {
        bail!("{name:?} is not an X- header");
    }
    if value.chars().any(char::is_control) {
        bail!("the value of {name} holds a control character: a header is one line");
    }
    Ok((name.to_owned(), value.to_owned()))
}

/// A user as it stands in a SIP URI: what may not stand there is escaped (RFC 3261 §19.1.2).
fn user_part(user: &str) -> anyhow::Result<String> {
    if user.is_empty() {
        bail!("--user is empty");
    }
    let uri = Uri::sip(Some(user), "localhost").with_context(|| format!("{user:?} cannot be a SIP user"))?;
    Ok(uri.user().unwrap_or_default().to_owned())
}

fn files(args: &CallArgs) -> anyhow::Result<Vec<Clip>> {
    let clip = |spec: &String| {
        let (path, when) = match spec.rsplit_once('@') {
            Some((path, at)) if at.parse::<f64>().is_ok() => (path, When::At(seconds(at.parse()?)?)),
            Some(_) | None => (spec.as_str(), When::InTurn),
        };
        Ok(Clip { audio: wav::read_narrowband(path.as_ref())?, when })
    };
    args.play.iter().map(clip).collect()
}

fn spoken(args: &CallArgs) -> anyhow::Result<Vec<Clip>> {
    let say = |text: &String| {
        let audio = crate::speech::say(text, &args.language)?;
        let samples = wav::narrow(audio.samples, audio.rate)?;
        let audio = media::Frame { rate: media::SampleRate::HZ_8000, samples };
        Ok(Clip { audio, when: When::InTurn })
    };
    args.say.iter().map(say).collect()
}

fn keystrokes(spec: &str) -> anyhow::Result<Vec<(Duration, char)>> {
    let (digits, at) = spec.split_once('@').unwrap_or((spec, "2"));
    let start = seconds(at.parse().with_context(|| format!("{at} is not a number of seconds"))?)?;
    let keys = digits.chars().zip(0_u32..);
    keys.map(|(key, n)| {
        if !"0123456789*#ABCD".contains(key) {
            bail!("{key} is not a key of a phone");
        }
        Ok((start + KEY_DISTANCE * n, key))
    })
    .collect()
}

fn seconds(seconds: f64) -> anyhow::Result<Duration> {
    Duration::try_from_secs_f64(seconds).with_context(|| format!("{seconds} is not a number of seconds"))
}

fn narrate(event: Event) {
    let line = match event {
        Event::Ringing => "ringing".to_owned(),
        Event::Answered => "answered".to_owned(),
        Event::ClipStarts(n) => format!("we speak ({})", n + 1),
        Event::ClipEnds(_) => "we are silent".to_owned(),
        Event::FarSpeaks => "they speak".to_owned(),
        Event::FarSilent => "they are silent".to_owned(),
        Event::Over => "over".to_owned(),
    };
    // A closed terminal does not end the call.
    let _ = writeln!(std::io::stderr(), "  · {line}");
}

/// "Answered after 120 ms, PCMU for 4.0 s", and over SRTP in which suite.
fn answered(after: f64, report: &Report) -> String {
    let srtp = report.srtp.as_ref().map(|suite| format!(" over SRTP ({suite})")).unwrap_or_default();
    format!("Answered after {after:.0} ms, {}{srtp} for {:.1} s", report.codec, report.duration_ms / 1_000.0)
}

fn print(report: &Report, args: &CallArgs, saved: Option<&Path>) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(report)?)?;
        return Ok(());
    }
    match (report.answered_ms, &report.ended_by) {
        (Some(after), _) => writeln!(out, "{}", answered(after, report))?,
        (None, Some(EndedBy::Refused { status, contacts })) if contacts.is_empty() => {
            writeln!(out, "Refused with {status}")?;
        }
        (None, Some(EndedBy::Refused { status, contacts })) => {
            writeln!(out, "Redirected with {status} to {}", contacts.join(", "))?;
        }
        (None, _) => writeln!(out, "Not answered")?,
    }
    if let Some(voice) = report.first_voice_ms {
        writeln!(out, "First voice after {voice:.0} ms")?;
    }
    for (n, turn) in report.turns.iter().enumerate() {
        writeln!(out, "Reply {}: {:.0} ms after our last word", n + 1, turn.latency_ms)?;
    }
    if !report.keys.is_empty() {
        writeln!(out, "Keys of theirs: {}", report.keys)?;
    }
    for barge_in in &report.barge_ins {
        writeln!(out, "Interrupted at {:.1} s: silent after {:.0} ms", barge_in.at_ms / 1_000.0, barge_in.stopped_ms)?;
    }
    writeln!(
        out,
        "Packets: {} sent, {} received, {} lost, jitter {:.1} ms",
        report.sent, report.received, report.lost, report.jitter_ms
    )?;
    if let Some(path) = saved {
        writeln!(out, "Recorded to {}", path.display())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        call: CallArgs,
    }

    fn args(more: &[&str]) -> CallArgs {
        Line::parse_from(["call"].iter().chain(more)).call
    }

    #[tokio::test]
    async fn what_cannot_be_done_is_refused_before_the_call() {
        for (line, want) in [
            (&["sip:8000@127.0.0.1:9", "--barge-in-at", "2"][..], "--barge-in-at has nothing to say"),
            (&["sip:8000@127.0.0.1:9", "--record", "/nowhere/call.wav"], "cannot write /nowhere/call.wav"),
            (&["sips:8000@127.0.0.1:9;transport=udp"], "asks for TLS"),
            (&["tel:+551199"], "is not a SIP URI"),
            (&["sip:8000@127.0.0.1:9", "--user", ""], "--user is empty"),
            (&["sip:8000@127.0.0.1:9", "--header", "X-A: b\r\nVia: c"], "holds a control character"),
            (&["sip:8000@127.0.0.1:9", "--header", "X-A\r\nVia: c"], "is not an X- header"),
            (&["sip:8000@127.0.0.1:9", "--header", "Via: c"], "is not an X- header"),
        ] {
            let error = run(args(line)).await.unwrap_err();
            assert!(format!("{error:#}").contains(want), "{line:?}: {error:#}");
        }
    }

    #[test]
    fn a_call_that_was_encrypted_says_in_which_suite() {
        let plain = Report { codec: "PCMU".into(), duration_ms: 4_000.0, ..Report::default() };
        assert_eq!(answered(120.4, &plain), "Answered after 120 ms, PCMU for 4.0 s");
        let encrypted = Report { srtp: Some("AES_CM_128_HMAC_SHA1_80".into()), ..plain };
        let text = "Answered after 120 ms, PCMU over SRTP (AES_CM_128_HMAC_SHA1_80) for 4.0 s";
        assert_eq!(answered(120.4, &encrypted), text);
    }

    #[tokio::test]
    async fn a_user_is_escaped_in_from_and_plain_in_the_digest() {
        let dial = target(&args(&["sip:8000@127.0.0.1:9", "--user", "ana lu@x", "--password", "p"])).await.unwrap();
        assert_eq!(dial.from_user, "ana%20lu%40x");
        assert_eq!(dial.credentials, Some(("ana lu@x".into(), "p".into())));
    }
}
