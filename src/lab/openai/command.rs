//! `ramal lab openai`.
use super::{Direction, Logged, Script, Server, Tls};
use anyhow::Context;
use clap::Args as ClapArgs;
use serde_json::{Value, json};
use std::{
    fs,
    io::{self, Write},
    net::SocketAddr,
    path::PathBuf,
    time::Instant,
};
use tokio::sync::mpsc;

/// Messages that may wait for the terminal; more are dropped and counted.
const LOG: usize = 4_096;

/// `ramal lab openai …`.
#[derive(ClapArgs, Clone, Debug)]
pub struct Args {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:9090", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Serve wss:// with a certificate made at start
    #[arg(long)]
    tls: bool,
    /// Where the certificate is written, to be trusted by clients
    #[arg(long, default_value = "lab-ca.pem", value_name = "FILE")]
    certificate: PathBuf,
    /// What the model says and how it fails (TOML); without it a polite nothing
    #[arg(long, value_name = "FILE")]
    script: Option<PathBuf>,
    /// Write every client message as a line of JSON to stdout
    #[arg(long)]
    json: bool,
}

/// Serves until interrupted.
///
/// # Errors
///
/// When the script or the certificate file is not usable, or the address is taken.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let script = match &args.script {
        Some(path) => Script::read(path)?,
        None => Script::default(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(serve(args, script))
}

#[expect(clippy::disallowed_methods, reason = "the origin of the times that are printed")]
async fn serve(args: &Args, script: Script) -> anyhow::Result<()> {
    let origin = Instant::now();
    let (log, mut logged) = mpsc::channel(LOG);
    let tls = if args.tls { Tls::SelfSigned } else { Tls::Off };
    let server = Server::start(args.listen, script, tls, args.json.then_some(log)).await?;
    if let Some(pem) = server.certificate_pem() {
        let path = &args.certificate;
        fs::write(path, pem).with_context(|| format!("cannot write {}", path.display()))?;
    }
    announce(args, &server)?;
    let interrupted = tokio::signal::ctrl_c();
    tokio::pin!(interrupted);
    loop {
        tokio::select! {
            done = &mut interrupted => return Ok(done?),
            Some(message) = logged.recv() => print(&line(&message, origin))?,
        }
    }
}

fn announce(args: &Args, server: &Server) -> io::Result<()> {
    let url = server.url();
    let certificate = server.certificate_pem().map(|_| args.certificate.display().to_string());
    if args.json {
        return print(&json!({"listening": url, "certificate": certificate}));
    }
    let mut out = io::stdout().lock();
    writeln!(out, "OpenAI Realtime, simulated: {url}")?;
    if let Some(path) = certificate {
        writeln!(out, "Trust this certificate: {path}")?;
    }
    out.flush()
}

/// One line of the log. Audio is told by its size.
fn line(message: &Logged, origin: Instant) -> Value {
    let mut event = message.json();
    for key in ["audio", "delta"] {
        if let Some(value) = event.get_mut(key)
            && let Some(length) = value.as_str().map(str::len)
            && length > 64
        {
            *value = json!({"characters": length});
        }
    }
    let direction = match message.direction {
        Direction::FromClient => "from_client",
        Direction::ToClient => "to_client",
    };
    let at_ms = message.at.duration_since(origin).as_secs_f64() * 1_000.0;
    json!({"connection": message.connection, "at_ms": at_ms, "direction": direction, "event": event})
}

fn print(line: &Value) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}
