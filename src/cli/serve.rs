//! `ramal serve`: the server, until SIGTERM or SIGINT.
use super::signals::Signals;
use crate::{config::Config, drivers::server::Server};
use clap::Args;
use std::{io::Write, path::PathBuf};

/// Runs the server.
#[derive(Args, Clone, Debug)]
pub struct ServeArgs {
    /// Configuration file, else that of the variable RAMAL_CONFIG; without either, the built-in defaults and a
    /// demonstration tenant.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Runs the command. A first signal lets calls end (`[call] drain_s`), a second ends them now.
///
/// # Errors
/// What the server needs at its start and cannot have.
pub async fn run(config: Config) -> anyhow::Result<()> {
    let mut signals = Signals::new()?;
    let server = Server::start(config).await?;
    let mut out = std::io::stdout();
    for (transport, at) in &server.bound {
        writeln!(out, "listening {} {at}", transport.param())?;
    }
    out.flush()?;
    signals.next().await;
    tracing::info!(calls = server.calls(), "Stopping; another signal ends the calls now");
    server.stop(signals.next()).await;
    Ok(())
}
