//! What happens, on standard error.
use crate::config::Log;
use std::io::{self, IsTerminal};
use tracing_subscriber::{EnvFilter, fmt};

/// Starts logging as configured; `RUST_LOG` wins over the configured level.
pub fn start(log: &Log) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(&log.level));
    let builder = fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(io::stderr().is_terminal());
    // A second start (in tests) keeps the first.
    let _ = if log.json { builder.json().try_init() } else { builder.try_init() };
}

/// Starts logging for commands that talk with a person: warnings only, unless `RUST_LOG` asks for more.
pub fn start_quietly() {
    start(&Log { level: "warn".into(), json: false });
}
