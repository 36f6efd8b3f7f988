//! The engine's queue and threads: jobs in, results out by each call's own channel, in any order.
//!
//! Overflow policy: a full queue refuses the job at once ("busy"), which the dialect takes as a lost sentence or an
//! unrecognised turn; a result that a call's channel has no room for is dropped, and the dialect's deadline notices.
use super::{
    Capabilities, Error,
    cache::Cache,
    voice::{Spoken, Voices},
    whisper::{self, Listener, Recogniser},
};
use media::{
    Frame, SampleRate,
    prompt::{Form, Prompt},
};
use providers::{Job, JobDone, JobId, JobOutput, local::Language};
use std::{
    collections::BTreeMap,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, Receiver, SyncSender},
    },
    thread::{self, JoinHandle},
};
use tokio::sync::mpsc::Sender;
use tracing::{info, warn};

/// Jobs that may wait; more means that answers would come after their deadlines.
const QUEUE: usize = 64;
/// Ten minutes of sentences at 16 kHz, twenty at 8 kHz; of those that are encoded for calls in Opus as well, something
/// less than three minutes, or four.
const CACHE_BYTES: usize = 20_000_000;

/// Where the engine's models are, and how much of the machine it may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineConfig {
    /// Where `ramal models fetch` put them.
    pub models_dir: PathBuf,
    /// Worker threads; 0 for as many as there are cores.
    pub threads: usize,
}

/// What the engine has done since it was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Turns recognised.
    pub transcribed: u64,
    /// Sentences spoken, cached ones included.
    pub spoken: u64,
    /// Sentences that were spoken before.
    pub cached: u64,
    /// Sentences encoded for calls of one form.
    pub encoded: u64,
    /// Sentences read by a voice of another language, or by a lesser one because the better failed.
    pub fallbacks: u64,
    /// Jobs that failed.
    pub failed: u64,
    /// Jobs refused because the queue was full.
    pub refused: u64,
    /// Results nobody had room for.
    pub undelivered: u64,
}

/// The running engine; dropping it ends its threads after the jobs they have in hand.
pub struct Engine {
    jobs: Option<SyncSender<Work>>,
    workers: Vec<JoinHandle<()>>,
    shared: Arc<Shared>,
    capabilities: Capabilities,
}

struct Work {
    id: JobId,
    job: Job,
    /// Of the call that asks.
    form: Option<Form>,
    reply: Sender<Done>,
}

/// A job that is done.
#[derive(Debug)]
pub struct Done {
    /// For the dialect.
    pub job: JobDone,
    /// The sentence encoded for the call, if it was worth it: a sentence is, from the second time on that it is spoken.
    pub prompt: Option<Arc<Prompt>>,
}

struct Shared {
    recogniser: Option<Recogniser>,
    voices: Option<Voices>,
    cache: Mutex<Cache>,
    counts: Counts,
}

#[derive(Default)]
struct Counts {
    transcribed: AtomicU64,
    spoken: AtomicU64,
    cached: AtomicU64,
    encoded: AtomicU64,
    fallbacks: AtomicU64,
    failed: AtomicU64,
    refused: AtomicU64,
    undelivered: AtomicU64,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("capabilities", &self.capabilities).finish_non_exhaustive()
    }
}

impl Engine {
    /// Loads what is there and starts the threads. What is there but broken is a problem of [`Capabilities`], not an
    /// error: the built-in provider does with less.
    pub fn start(config: &EngineConfig) -> Self {
        let mut problems = Vec::new();
        let mut note = |error: Error| {
            warn!(%error, "speech engine");
            problems.push(error.to_string());
        };
        let recogniser = Recogniser::find(&config.models_dir).unwrap_or_else(|error| {
            note(error);
            None
        });
        let (voices, parts) = match Voices::find(&config.models_dir) {
            Ok((voices, parts)) => (Some(voices), parts),
            Err(error) => {
                note(error);
                (None, BTreeMap::new())
            }
        };
        let hearing = recogniser.as_ref().map(Recogniser::part);
        let capabilities = Capabilities { hearing, voices: parts, problems };
        info!(hearing = ?capabilities.hearing, voices = ?capabilities.voices, "Speech engine");
        let cache = Mutex::new(Cache::new(CACHE_BYTES));
        let shared = Arc::new(Shared { recogniser, voices, cache, counts: Counts::default() });
        let (jobs, queue) = mpsc::sync_channel(QUEUE);
        let workers = start_workers(config.threads, &shared, queue);
        Self { jobs: Some(jobs), workers, shared, capabilities }
    }

    /// What this engine can do.
    pub const fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// What it has done.
    pub fn counters(&self) -> Counters {
        let counts = &self.shared.counts;
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counters {
            transcribed: read(&counts.transcribed),
            spoken: read(&counts.spoken),
            cached: read(&counts.cached),
            encoded: read(&counts.encoded),
            fallbacks: read(&counts.fallbacks),
            failed: read(&counts.failed),
            refused: read(&counts.refused),
            undelivered: read(&counts.undelivered),
        }
    }

    /// Takes a job of a call of this form; the result, or that the engine is too busy, comes by `reply`. Never waits.
    pub fn submit(&self, id: JobId, job: Job, form: Option<Form>, reply: Sender<Done>) {
        let work = Work { id, job, form, reply };
        let refused = match &self.jobs {
            None => Some(work),
            Some(jobs) => jobs.try_send(work).err().map(|error| match error {
                mpsc::TrySendError::Full(work) | mpsc::TrySendError::Disconnected(work) => work,
            }),
        };
        if let Some(work) = refused {
            self.shared.counts.refused.fetch_add(1, Ordering::Relaxed);
            self.shared.deliver(&work.reply, work.id, Err("the speech engine is busy".into()));
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // The workers end when their queue does.
        self.jobs = None;
        for worker in self.workers.drain(..) {
            if worker.join().is_err() {
                warn!("a speech worker had panicked");
            }
        }
    }
}

fn start_workers(threads: usize, shared: &Arc<Shared>, queue: Receiver<Work>) -> Vec<JoinHandle<()>> {
    let cores = || thread::available_parallelism().map_or(2, usize::from);
    let count = if threads == 0 { cores() } else { threads };
    let queue = Arc::new(Mutex::new(queue));
    let start = |n: usize| {
        let (shared, queue) = (Arc::clone(shared), Arc::clone(&queue));
        thread::Builder::new().name(format!("speech-{n}")).spawn(move || work(&shared, &queue)).ok()
    };
    (0..count).filter_map(start).collect()
}

fn work(shared: &Shared, queue: &Mutex<Receiver<Work>>) {
    let mut listener = None;
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Work { id, job, form, reply }) = next else { return };
        if reply.is_closed() {
            continue; // the call is over
        }
        // Synthesis and recognition are others' code: what they do to one job must not end the thread.
        let outcome = catch_unwind(AssertUnwindSafe(|| shared.run(job, form, &mut listener)));
        let result = match outcome {
            Ok(result) => result.map_err(|error| error.to_string()),
            Err(_) => {
                listener = None;
                Err("the speech engine panicked".to_owned())
            }
        };
        if result.is_err() {
            shared.counts.failed.fetch_add(1, Ordering::Relaxed);
        }
        shared.deliver(&reply, id, result);
    }
}

impl Shared {
    fn deliver(&self, reply: &Sender<Done>, id: JobId, result: Result<(JobOutput, Option<Arc<Prompt>>), String>) {
        let (result, prompt) = match result {
            Ok((output, prompt)) => (Ok(output), prompt),
            Err(error) => (Err(error), None),
        };
        if reply.try_send(Done { job: JobDone { id, result }, prompt }).is_err() {
            self.counts.undelivered.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn run(
        &self,
        job: Job,
        form: Option<Form>,
        listener: &mut Option<Listener>,
    ) -> Result<(JobOutput, Option<Arc<Prompt>>), Error> {
        match job {
            Job::Transcribe { speech, language } => {
                let text = self.transcribe(&speech, &language, listener)?;
                self.counts.transcribed.fetch_add(1, Ordering::Relaxed);
                Ok((JobOutput::Text(text), None))
            }
            Job::Speak { text, language, rate } => {
                let (frame, prompt) = self.speak(&text, &language, rate, form)?;
                self.counts.spoken.fetch_add(1, Ordering::Relaxed);
                Ok((JobOutput::Speech(frame), prompt))
            }
        }
    }

    fn transcribe(&self, speech: &Frame, language: &str, listener: &mut Option<Listener>) -> Result<String, Error> {
        let listener = match listener {
            Some(listener) => listener,
            None => listener.insert(self.recogniser.as_ref().ok_or(Error::Deaf)?.listener()?),
        };
        listener.transcribe(speech, language, whisper::idle_threads())
    }

    fn speak(
        &self,
        text: &str,
        tag: &str,
        most: SampleRate,
        form: Option<Form>,
    ) -> Result<(Frame, Option<Arc<Prompt>>), Error> {
        let language = Language::from_tag(tag).ok_or_else(|| Error::Language(tag.to_owned()))?;
        let voices = self.voices.as_ref().ok_or_else(|| Error::Flite("it could not be loaded".into()))?;
        let width = voices.width(language, most);
        let cache = || self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        // Nobody else waits for the cache while this sentence is copied or encoded.
        let found = cache().find((language, width), text, form);
        if let Some((frame, prompt)) = found {
            let frame = Frame::clone(&frame);
            self.counts.cached.fetch_add(1, Ordering::Relaxed);
            let Some(form) = form.filter(|_| prompt.is_none()) else { return Ok((frame, prompt)) };
            let prompt = form.encode(&frame).map(Arc::new);
            if let Some(prompt) = &prompt {
                self.counts.encoded.fetch_add(1, Ordering::Relaxed);
                cache().keep_prompt((language, width), text, prompt);
            }
            return Ok((frame, prompt));
        }
        let (frame, spoken) = voices.speak(text, language, width)?;
        match spoken {
            Spoken::Properly => cache().keep((language, width), text, &frame),
            Spoken::ByFallback => {
                self.counts.fallbacks.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok((frame, None))
    }
}
