//! `ramal serve`: the server, until SIGTERM or SIGINT. SIGHUP has it read its configuration again.
use super::signals::{Hangups, Signals};
use crate::{
    config::{Config, ConfigError},
    drivers::server::Server,
};
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

/// Runs the command. A first signal lets calls end (`[call] drain_s`), a second ends them now. `load` reads the
/// configuration again.
///
/// # Errors
/// What the server needs at its start and cannot have.
pub async fn run(config: Config, load: impl Fn() -> Result<Config, ConfigError>) -> anyhow::Result<()> {
    let (mut signals, mut hangups) = (Signals::new()?, Hangups::new()?);
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }
    let mut server = Server::start(config).await?;
    let mut out = std::io::stdout();
    for (transport, at) in &server.bound {
        writeln!(out, "listening {} {at}", transport.param())?;
    }
    out.flush()?;
    loop {
        tokio::select! {
            () = signals.next() => break,
            () = hangups.next() => reload(&mut server, load()).await,
        }
    }
    tracing::info!(calls = server.calls(), "Stopping; another signal ends the calls now");
    server.stop(signals.next()).await;
    Ok(())
}

/// A configuration with mistakes changes nothing: the server goes on as it was.
async fn reload(server: &mut Server, config: Result<Config, ConfigError>) {
    let applied = match config {
        Ok(config) => server.reload(config).await,
        Err(error) => Err(error.into()),
    };
    match applied {
        Ok(waiting) if waiting.is_empty() => tracing::info!("Configuration read again"),
        Ok(waiting) => {
            tracing::warn!("Configuration read again; changes that wait for a restart: {}", waiting.join(", "))
        }
        Err(error) => tracing::error!("Configuration not changed: {error:#}"),
    }
}
