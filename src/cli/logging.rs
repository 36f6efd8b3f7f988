//! What happens, on standard error.
use crate::config::Log;
use std::io::{self, IsTerminal};
use tracing::{Level, Metadata};
use tracing_subscriber::{
    EnvFilter, Layer as _, filter::filter_fn, fmt, layer::SubscriberExt as _, registry, util::SubscriberInitExt as _,
};

/// Libraries that write whole requests at TRACE, and with them keys and signed addresses, whatever level is asked for.
const TELLTALES: [&str; 3] = ["tungstenite", "ureq", "ureq_proto"];

/// Starts logging as configured; `RUST_LOG` wins over the configured level.
pub fn start(log: &Log) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(&log.level));
    let lines = fmt::layer().with_writer(io::stderr).with_ansi(io::stderr().is_terminal());
    // A second start (in tests) keeps the first.
    let _ = if log.json {
        registry().with(filter).with(lines.json().with_filter(filter_fn(is_discreet))).try_init()
    } else {
        registry().with(filter).with(lines.with_filter(filter_fn(is_discreet))).try_init()
    };
}

/// Whether this may be written: it is an upper bound beside the level, and lets nothing through that the level does not.
fn is_discreet(what: &Metadata<'_>) -> bool {
    let library = what.target().split("::").next().unwrap_or_default();
    *what.level() != Level::TRACE || !TELLTALES.contains(&library)
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

    /// What is written at this level.
    fn written(level: &str) -> String {
        let paper = Paper::default();
        let writer = paper.clone();
        let lines = fmt::layer().with_writer(move || writer.clone()).with_filter(filter_fn(is_discreet));
        tracing::subscriber::with_default(registry().with(EnvFilter::new(level)).with(lines), || {
            tracing::trace!(target: "tungstenite::handshake::client", "Request: the key");
            tracing::trace!(target: "ureq::util", "the key");
            tracing::debug!(target: "tungstenite::protocol", "closing");
            tracing::warn!(target: "ureq::unversioned", "trouble");
        });
        String::from_utf8(paper.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn no_level_shows_what_libraries_tell_of_requests() {
        for level in ["trace", "tungstenite=trace", "tungstenite::handshake::client=trace,ureq=trace"] {
            let text = written(level);
            assert!(!text.contains("the key"), "{level}: {text}");
        }
    }

    #[test]
    fn libraries_are_as_quiet_as_the_level_says() {
        assert!(written("trace").contains("closing"));
        for level in ["info", "warn"] {
            let text = written(level);
            assert!(!text.contains("closing") && text.contains("trouble"), "{level}: {text}");
        }
    }
}
