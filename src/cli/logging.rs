//! What happens, on standard error; of calls, in their domains' own logs as well, where that is wanted.
use super::domain_logs::{Desk, Flushed, Marks, Plain, Sorted};
use crate::config::Log;
use std::io::{self, IsTerminal};
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::{
    EnvFilter, Layer,
    filter::filter_fn,
    fmt::{
        self,
        format::{DefaultFields, JsonFields},
    },
    layer::SubscriberExt as _,
    registry,
    registry::LookupSpan,
    util::SubscriberInitExt as _,
};

/// Libraries that write whole requests at TRACE, and with them keys and signed addresses, whatever level is asked for.
const TELLTALES: [&str; 3] = ["tungstenite", "ureq", "ureq_proto"];

/// Starts logging as configured; `RUST_LOG` wins over the configured level. What it returns is to be kept to the end.
///
/// # Errors
/// The folder of domains' logs cannot be had.
pub fn start(log: &Log) -> anyhow::Result<Flushed> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(&log.level));
    let lines = fmt::layer().with_writer(io::stderr).with_ansi(io::stderr().is_terminal());
    let desk = log.domains.as_ref().map(|domains| Desk::open(domains, log.json)).transpose()?;
    let registry = registry().with(filter).with(desk.clone().map(|desk| of_domains(desk, log.json)));
    // A second start (in tests) keeps the first.
    let _ = if log.json {
        registry.with(lines.json().with_filter(filter_fn(is_discreet))).try_init()
    } else {
        registry.with(lines.with_filter(filter_fn(is_discreet))).try_init()
    };
    Ok(Flushed(desk))
}

/// What writes the logs of domains.
fn of_domains<S>(desk: Desk, json: bool) -> impl Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
{
    let lines = fmt::layer().with_writer(io::sink).with_ansi(false);
    let lines: Box<dyn Layer<S> + Send + Sync> = if json {
        let format = fmt::format().json();
        Box::new(lines.event_format(Sorted { format, desk }).fmt_fields(JsonFields::new()))
    } else {
        let format = fmt::format().with_ansi(false);
        Box::new(lines.event_format(Sorted { format, desk }).fmt_fields(Plain(DefaultFields::new())))
    };
    Marks.and_then(lines.with_filter(filter_fn(is_discreet)))
}

/// Whether this may be written: it is an upper bound beside the level, and lets nothing through that the level does not.
fn is_discreet(what: &Metadata<'_>) -> bool {
    let library = what.target().split("::").next().unwrap_or_default();
    *what.level() != Level::TRACE || !TELLTALES.contains(&library)
}

/// Starts logging for commands that talk with a person: warnings only, unless `RUST_LOG` asks for more.
pub fn start_quietly() {
    // Without logs of domains nothing can fail, and nothing is to be kept.
    let _ = start(&Log { level: "warn".into(), json: false, domains: None });
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
    fn a_domain_has_what_is_told_of_its_calls_and_nothing_else() {
        for json in [false, true] {
            let directory = std::env::temp_dir().join(format!("ramal-log-{}", uuid::Uuid::new_v4()));
            let config = crate::config::DomainLogs { directory: directory.clone(), keep_days: 1 };
            let desk = Desk::open(&config, json).unwrap();
            tracing::subscriber::with_default(registry().with(of_domains(desk.clone(), json)), || {
                tracing::info!("nobody's");
                for domain in ["one.example", "two.example"] {
                    let call = tracing::error_span!("call", id = 7, domain = tracing::field::Empty);
                    call.record("domain", domain);
                    let _in_it = call.enter();
                    tracing::info_span!("provider").in_scope(|| tracing::info!("of {domain}"));
                    tracing::trace!(target: "ureq::util", "the key");
                }
            });
            drop(Flushed(Some(desk)));
            for (domain, other) in [("one.example", "two.example"), ("two.example", "one.example")] {
                let file = std::fs::read_dir(directory.join(domain)).unwrap().next().unwrap().unwrap();
                let text = std::fs::read_to_string(file.path()).unwrap();
                assert!(text.lines().count() == 1 && text.contains(&format!("of {domain}")), "{text}");
                assert!(!text.contains(other) && !text.contains('\u{1b}'), "{text}");
                let object = serde_json::from_str::<serde_json::Value>(&text);
                assert_eq!(object.is_ok_and(|line| line["spans"][0]["domain"] == domain), json, "{text}");
            }
            std::fs::remove_dir_all(directory).unwrap();
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
