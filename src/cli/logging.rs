//! What happens, on standard error.
use crate::config::Log;
use std::io::{self, IsTerminal};
use tracing_subscriber::{EnvFilter, fmt};

/// Libraries that write whole requests at TRACE, and with them keys and signed addresses, whatever level is asked for.
const TELLTALES: [&str; 4] =
    ["tungstenite=debug", "tungstenite::handshake::client=debug", "ureq=debug", "ureq_proto=debug"];

/// Starts logging as configured; `RUST_LOG` wins over the configured level.
pub fn start(log: &Log) {
    let filter = hushed(EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(&log.level)));
    let builder = fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(io::stderr().is_terminal());
    // A second start (in tests) keeps the first.
    let _ = if log.json { builder.json().try_init() } else { builder.try_init() };
}

/// The filter, without what would tell a secret.
fn hushed(filter: EnvFilter) -> EnvFilter {
    TELLTALES.iter().filter_map(|directive| directive.parse().ok()).fold(filter, EnvFilter::add_directive)
}

/// Starts logging for commands that talk with a person: warnings only, unless `RUST_LOG` asks for more.
pub fn start_quietly() {
    start(&Log { level: "warn".into(), json: false });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn no_level_shows_what_libraries_tell_of_requests() {
        for level in ["trace", "tungstenite=trace", "tungstenite::handshake::client=trace,ureq=trace"] {
            let paper = Paper::default();
            let writer = paper.clone();
            let filter = hushed(EnvFilter::new(level));
            let subscriber = fmt().with_env_filter(filter).with_writer(move || writer.clone()).finish();
            tracing::subscriber::with_default(subscriber, || {
                tracing::trace!(target: "tungstenite::handshake::client", "Request: the key");
                tracing::trace!(target: "ureq::util", "the key");
                tracing::debug!(target: "tungstenite::protocol", "seen");
            });
            let text = String::from_utf8(paper.0.lock().unwrap().clone()).unwrap();
            assert!(!text.contains("the key") && (level != "trace" || text.contains("seen")), "{level}: {text}");
        }
    }
}
