//! Logs of tenants' own: what is told of their calls, in a folder named after their domain, a file a day.
//!
//! A thread of its own writes, so that a slow disk holds no call up. Overflow policy: a line that finds no room is left out
//! here, never in the log of the server, and the next that is written says how many were.
use crate::config::DomainLogs;
use anyhow::Context as _;
use std::{
    collections::{HashMap, HashSet},
    fmt,
    io::{self, Write as _},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, Receiver, SyncSender, TrySendError},
    },
    thread,
    time::Duration,
};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
    span,
};
use tracing_appender::rolling::{RollingFileAppender, Rotation};
use tracing_subscriber::{
    Layer,
    field::RecordFields,
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::{DefaultFields, Writer},
    },
    layer::Context,
    registry::LookupSpan,
};

/// Lines that may wait for the disk.
const QUEUE: usize = 4_096;
/// Files that are open at once; of more, the one that was written to longest ago is closed.
const MOST_OPEN: usize = 128;
/// How long the end of the program waits for lines on their way.
const FLUSH: Duration = Duration::from_secs(2);

const PAUSE: Duration = Duration::from_millis(10);

/// What the writing thread is told.
enum Work {
    Line {
        domain: Arc<str>,
        text: String,
    },
    /// All before this are to be written.
    Flush(SyncSender<()>),
}

/// Where lines are handed in. Clones share the queue.
#[derive(Clone, Debug)]
pub(super) struct Desk {
    queue: SyncSender<Work>,
    left_out: Arc<AtomicU64>,
}

impl Desk {
    /// A thread that writes into this folder.
    pub(super) fn open(config: &DomainLogs, json: bool) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&config.directory)
            .with_context(|| format!("[log] domains: {}", config.directory.display()))?;
        let (queue, work) = mpsc::sync_channel(QUEUE);
        let left_out = Arc::new(AtomicU64::new(0));
        let files = Files { config: config.clone(), json, open: HashMap::new(), written: 0 };
        let known = Arc::clone(&left_out);
        thread::Builder::new().name("domain-logs".into()).spawn(move || write(&work, files, &known))?;
        Ok(Self { queue, left_out })
    }

    fn hand_in(&self, domain: Arc<str>, text: String) {
        if let Err(TrySendError::Full(_)) = self.queue.try_send(Work::Line { domain, text }) {
            self.left_out.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Waits for what was handed in, when it is dropped.
#[derive(Debug)]
pub struct Flushed(pub(super) Option<Desk>);

impl Drop for Flushed {
    fn drop(&mut self) {
        let Some(desk) = &self.0 else { return };
        let (done, end) = mpsc::sync_channel(1);
        let mut work = Work::Flush(done);
        // A disk that stalls is not waited for.
        for _ in 0..FLUSH.as_millis() / PAUSE.as_millis() {
            match desk.queue.try_send(work) {
                Ok(()) => {
                    let _ = end.recv_timeout(FLUSH);
                    return;
                }
                Err(TrySendError::Full(back)) => work = back,
                Err(TrySendError::Disconnected(_)) => return,
            }
            thread::sleep(PAUSE);
        }
    }
}

fn write(work: &Receiver<Work>, mut files: Files, left_out: &AtomicU64) {
    let mut troubled = HashSet::new();
    for work in work {
        let (domain, text) = match work {
            Work::Line { domain, text } => (domain, text),
            Work::Flush(done) => {
                let _ = done.send(());
                continue;
            }
        };
        let missing = left_out.swap(0, Ordering::Relaxed);
        match files.append(&domain, &format!("{}{text}", files.note(missing))) {
            Ok(()) => drop(troubled.remove(&domain)),
            Err(error) => {
                left_out.fetch_add(missing + 1, Ordering::Relaxed);
                if troubled.insert(Arc::clone(&domain)) {
                    tracing::warn!(%domain, %error, "the log of a domain cannot be written");
                }
            }
        }
    }
}

/// The files of today, as far as they are open.
struct Files {
    config: DomainLogs,
    /// Lines are JSON objects.
    json: bool,
    open: HashMap<Arc<str>, (RollingFileAppender, u64)>,
    /// Lines so far: how long ago a file was written to.
    written: u64,
}

impl Files {
    /// A line about lines that are missing.
    fn note(&self, missing: u64) -> String {
        let words = format!("{missing} lines of all domains were left out");
        match (missing, self.json) {
            (0, _) => String::new(),
            (_, true) => format!("{}\n", serde_json::json!({"level": "WARN", "fields": {"message": words}})),
            (_, false) => format!("[{words}]\n"),
        }
    }

    fn append(&mut self, domain: &Arc<str>, text: &str) -> io::Result<()> {
        self.written += 1;
        if !self.open.contains_key(domain) {
            let file = self.open_file(domain)?;
            self.make_room();
            self.open.insert(Arc::clone(domain), (file, self.written));
        }
        let Some((file, last)) = self.open.get_mut(domain) else { return Ok(()) };
        *last = self.written;
        file.write_all(text.as_bytes())
    }

    /// Old files are deleted by their names alone, so that each domain needs a folder.
    fn open_file(&self, domain: &str) -> io::Result<RollingFileAppender> {
        let folder: PathBuf = self.config.directory.join(folder(domain));
        let builder = RollingFileAppender::builder().rotation(Rotation::DAILY).filename_suffix("log");
        // It makes room for a new file even where today's is there.
        builder.max_log_files(self.config.keep_days as usize + 1).build(folder).map_err(io::Error::other)
    }

    fn make_room(&mut self) {
        let oldest = self.open.iter().min_by_key(|(_, (_, last))| *last).map(|(domain, _)| Arc::clone(domain));
        if let Some(oldest) = oldest.filter(|_| self.open.len() >= MOST_OPEN) {
            self.open.remove(&oldest);
        }
    }
}

/// The name of a domain's folder: of any text another, and none that leads elsewhere.
fn folder(domain: &str) -> String {
    if domain.is_empty() {
        return "%".to_owned();
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let first = domain.bytes().next();
    let bytes = domain.bytes().enumerate();
    let escaped = bytes.map(|(at, byte)| match byte {
        b'.' if at > 0 && first != Some(b'.') => ".".to_owned(),
        byte if plain(byte) => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    });
    escaped.collect()
}

/// The domain that a span is about.
#[derive(Clone, Debug)]
struct Domain(Arc<str>);

/// The domain among the fields of a span.
#[derive(Default)]
struct Found(Option<Arc<str>>);

impl Visit for Found {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "domain" {
            self.0 = Some(value.into());
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "domain" {
            self.0 = Some(format!("{value:?}").into());
        }
    }
}

/// Remembers of spans which domain they are about.
#[derive(Debug)]
pub(super) struct Marks;

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Marks {
    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &span::Id, context: Context<'_, S>) {
        let mut found = Found::default();
        attributes.record(&mut found);
        mark(found, id, &context);
    }

    fn on_record(&self, id: &span::Id, values: &span::Record<'_>, context: Context<'_, S>) {
        let mut found = Found::default();
        values.record(&mut found);
        mark(found, id, &context);
    }
}

fn mark<S: Subscriber + for<'a> LookupSpan<'a>>(found: Found, id: &span::Id, context: &Context<'_, S>) {
    if let (Some(domain), Some(span)) = (found.0, context.span(id)) {
        span.extensions_mut().replace(Domain(domain));
    }
}

/// Writes lines as `F` does, and hands those of a domain in.
pub(super) struct Sorted<F> {
    pub(super) format: F,
    pub(super) desk: Desk,
}

impl<S, N, F> FormatEvent<S, N> for Sorted<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'w> FormatFields<'w> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, _writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut spans = context.event_scope().into_iter().flatten();
        let Some(Domain(domain)) = spans.find_map(|span| span.extensions().get::<Domain>().cloned()) else {
            return Ok(());
        };
        let mut line = String::new();
        self.format.format_event(context, Writer::new(&mut line), event)?;
        self.desk.hand_in(domain, line);
        Ok(())
    }
}

/// Fields without the colours of a terminal, which shares what it wrote of a span with all that write alike.
pub(super) struct Plain(pub(super) DefaultFields);

impl<'w> FormatFields<'w> for Plain {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        self.0.format_fields(writer, fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_domains_share_a_folder_and_none_leads_elsewhere() {
        let domains = ["pbx.example", "pbx/example", "pbx%2Fexample", "..", ".", ".hidden", "a.b", "a%b", "", "é"];
        let folders: Vec<String> = domains.iter().map(|domain| folder(domain)).collect();
        assert_eq!(folders[..3], ["pbx.example", "pbx%2Fexample", "pbx%252Fexample"]);
        assert!(folders.iter().all(|name| !name.starts_with('.') && !name.contains('/')), "{folders:?}");
        let unlike: std::collections::HashSet<&String> = folders.iter().collect();
        assert_eq!(unlike.len(), domains.len());
    }

    #[test]
    fn old_files_go_and_only_so_many_are_open() {
        let directory = std::env::temp_dir().join(format!("ramal-logs-{}", uuid::Uuid::new_v4()));
        let config = DomainLogs { directory: directory.clone(), keep_days: 2 };
        let mut files = Files { config, json: false, open: HashMap::new(), written: 0 };
        let other = directory.join("pbx.example");
        std::fs::create_dir_all(&other).unwrap();
        for day in ["2020-01-01", "2020-01-02", "2020-01-03"] {
            std::fs::write(other.join(format!("{day}.log")), "old\n").unwrap();
        }
        for n in 0..=MOST_OPEN {
            files.append(&format!("{n}.example").into(), "new\n").unwrap();
        }
        files.append(&"pbx.example".into(), "new\n").unwrap();
        assert_eq!(files.open.len(), MOST_OPEN);
        let left = std::fs::read_dir(&other).unwrap().count();
        assert!(left <= 3 && other.join("2020-01-03.log").exists(), "{left} files");
        std::fs::remove_dir_all(directory).unwrap();
    }
}
