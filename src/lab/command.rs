//! `ramal lab PROVIDER`.
use super::{
    script,
    server::{Direction, Logged, Server, Simulated, Tls},
};
use anyhow::Context;
use clap::Args as ClapArgs;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::{
    fs,
    io::{self, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Instant,
};
use tokio::sync::mpsc;

/// Messages that may wait for the terminal; more are dropped and counted.
const LOG: usize = 4_096;

/// Keys whose long values are audio.
const AUDIO: [&str; 5] = ["audio", "delta", "data", "user_audio_chunk", "audio_base_64"];

/// `ramal lab PROVIDER …`.
#[derive(ClapArgs, Clone, Debug)]
pub(in crate::lab) struct Args {
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

/// Serves until interrupted, under this name.
///
/// # Errors
///
/// When the script or the certificate file is not usable, or the address is taken.
pub(super) fn run<S>(name: &str, args: &Args) -> anyhow::Result<()>
where
    S: Simulated,
    S::Script: DeserializeOwned + Default,
{
    let script = match &args.script {
        Some(path) => script::read(path)?,
        None => S::Script::default(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let (listen, tls, log, logged) = args.listening();
        let server = Server::<S>::start(listen, script, tls, log).await?;
        serve(name, args, (&server.url(), server.certificate_pem()), logged).await
    })
}

impl Args {
    /// The file of the script, if there is one.
    pub(super) fn script(&self) -> Option<&Path> {
        self.script.as_deref()
    }

    /// Where to listen and how, and both ends of the log.
    pub(super) fn listening(&self) -> (SocketAddr, Tls, Option<mpsc::Sender<Logged>>, mpsc::Receiver<Logged>) {
        let (log, logged) = mpsc::channel(LOG);
        let tls = if self.tls { Tls::SelfSigned } else { Tls::Off };
        (self.listen, tls, self.json.then_some(log), logged)
    }
}

/// Tells where a server is, and then what passes, until interrupted.
///
/// # Errors
///
/// When the certificate cannot be written, or nothing can be told.
#[expect(clippy::disallowed_methods, reason = "the origin of the times that are printed")]
pub(super) async fn serve(
    name: &str,
    args: &Args,
    (url, certificate_pem): (&str, Option<&str>),
    mut logged: mpsc::Receiver<Logged>,
) -> anyhow::Result<()> {
    let origin = Instant::now();
    if let Some(pem) = certificate_pem {
        let path = &args.certificate;
        fs::write(path, pem).with_context(|| format!("cannot write {}", path.display()))?;
    }
    announce(name, args, url, certificate_pem.is_some())?;
    let interrupted = tokio::signal::ctrl_c();
    tokio::pin!(interrupted);
    loop {
        tokio::select! {
            done = &mut interrupted => return Ok(done?),
            Some(message) = logged.recv() => print(&line(&message, origin))?,
        }
    }
}

fn announce(name: &str, args: &Args, url: &str, encrypted: bool) -> io::Result<()> {
    let certificate = encrypted.then(|| args.certificate.display().to_string());
    if args.json {
        return print(&json!({"listening": url, "certificate": certificate}));
    }
    let mut out = io::stdout().lock();
    writeln!(out, "{name}, simulated: {url}")?;
    if let Some(path) = certificate {
        writeln!(out, "Trust this certificate: {path}")?;
    }
    out.flush()
}

/// One line of the log. Audio is told by its size.
fn line(message: &Logged, origin: Instant) -> Value {
    let mut event = message.json();
    shorten(&mut event);
    let direction = match message.direction {
        Direction::FromClient => "from_client",
        Direction::ToClient => "to_client",
    };
    let at_ms = message.at.duration_since(origin).as_secs_f64() * 1_000.0;
    json!({"connection": message.connection, "at_ms": at_ms, "direction": direction, "event": event})
}

/// Audio, wherever it is, becomes its length.
fn shorten(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                match value.as_str().map(str::len) {
                    Some(length) if length > 64 && AUDIO.contains(&key.as_str()) => {
                        *value = json!({"characters": length});
                    }
                    _ => shorten(value),
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(shorten),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn print(line: &Value) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}
