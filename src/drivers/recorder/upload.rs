//! Recordings on their way to an S3-compatible store.
//!
//! The list of unfinished recordings on disk is the queue: it has no bound but the disk's, and survives a restart. A file
//! leaves the list when the store has confirmed its length and checksum.
use super::{file, folder};
use crate::config::{Recording, S3};
use anyhow::{Context, ensure};
use futures_util::StreamExt;
use rusty_s3::{Bucket, Credentials, S3Action, UrlStyle};
use std::{
    fs::{self, File},
    io::{Seek, SeekFrom},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::{sync::Notify, task::spawn_blocking, time::timeout};
use tracing::{info, warn};
use ureq::Agent;

/// Files that are sent at a time.
const AT_ONCE: usize = 2;
/// How long after a failure the list is tried again; twice as long after the next.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(300);
/// How long one request may take, its file included.
const REQUEST: Duration = Duration::from_secs(600);
const CONNECT: Duration = Duration::from_secs(10);
/// How long a deletion may take.
const DELETION: Duration = Duration::from_secs(20);
/// A store that did not answer is asked to delete nothing for so long: what is elsewhere is not to wait for it.
const AWAY_FOR: Duration = Duration::from_secs(60);
/// How long the URL of a request is good for.
const SIGNED_FOR: Duration = Duration::from_secs(900);
/// The store holds what is sent against it, and tells it again.
const CHECKSUM: &str = "x-amz-checksum-sha256";

/// A store, and how it is reached.
#[derive(Debug)]
pub(super) struct Store {
    bucket: Bucket,
    credentials: Credentials,
    agent: Agent,
    directory: PathBuf,
    s3: S3,
    /// Since then it does not answer.
    away: Mutex<Option<Instant>>,
}

/// Sends what is listed, whenever a file was closed, until the process ends.
pub(super) async fn run(config: Arc<Recording>, s3: S3, closed: Arc<Notify>) {
    let store = match Store::new(&config, s3) {
        Ok(store) => Arc::new(store),
        Err(error) => return warn!("recordings are not uploaded: {error:#}"),
    };
    let mut wait = FIRST_WAIT;
    loop {
        let failed = send_all(&store).await;
        wait = if failed == 0 { FIRST_WAIT } else { (wait * 2).min(LONGEST_WAIT) };
        match failed {
            0 => closed.notified().await,
            // Files that are closed meanwhile wait as well: the store is away.
            _ => {
                warn!(failed, again_in = ?wait, "recordings wait for their upload");
                tokio::time::sleep(wait).await;
            }
        }
    }
}

/// How many could not be sent.
async fn send_all(store: &Arc<Store>) -> usize {
    let directory = store.directory.clone();
    let listed = spawn_blocking(move || folder::closed(&directory)).await.unwrap_or_default();
    let sent = futures_util::stream::iter(listed).map(|(entry, path)| {
        let store = Arc::clone(store);
        async move {
            let job = spawn_blocking(move || store.send(&entry, &path));
            match timeout(REQUEST + REQUEST, job).await {
                Ok(Ok(Ok(()))) => 0,
                Ok(Ok(Err(error))) => {
                    warn!("a recording is not uploaded: {error:#}");
                    1
                }
                Ok(Err(_)) | Err(_) => 1,
            }
        }
    });
    sent.buffer_unordered(AT_ONCE).fold(0, async |sum, failed| sum + failed).await
}

impl Store {
    pub(super) fn new(config: &Recording, s3: S3) -> anyhow::Result<Self> {
        let endpoint = s3.endpoint.parse().context("[recording] s3_endpoint")?;
        let bucket = Bucket::new(endpoint, UrlStyle::Path, s3.bucket.clone(), s3.region.clone())?;
        let credentials = Credentials::new(s3.access_key.clone(), s3.secret_key.expose());
        let agent = Agent::config_builder()
            .timeout_connect(Some(CONNECT))
            .timeout_global(Some(REQUEST))
            .user_agent(concat!("Ramal/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        Ok(Self { bucket, credentials, agent, directory: config.directory.clone(), s3, away: Mutex::default() })
    }

    /// Sends one file, has the store confirm it, and takes it off the list.
    pub(super) fn send(&self, entry: &Path, path: &str) -> anyhow::Result<()> {
        // Whoever erases it meanwhile waits until it is sent, or has taken it off the list.
        let Some(_held) = folder::hold(entry)? else { return Ok(()) };
        let whole = self.directory.join(path);
        let key = self.s3.key(path);
        let mut file = File::open(&whole).with_context(|| whole.display().to_string())?;
        let (length, sha256) = file::digest(&mut file)?;
        file.seek(SeekFrom::Start(0))?;
        let checksum = base64_simd::STANDARD.encode_to_string(sha256);
        let mut put = self.bucket.put_object(Some(&self.credentials), &key);
        put.headers_mut().insert(CHECKSUM, checksum.clone());
        let request = self.agent.put(put.sign(SIGNED_FOR).as_str()).header(CHECKSUM, &checksum);
        let response = request.send(&file).context("the store refuses")?;
        ensure!(response.headers().contains_key("etag"), "the store says nothing of what it keeps");
        self.confirm(&key, length, &checksum)?;
        if self.s3.keep_local {
            fs::remove_file(entry)?;
        } else {
            fs::remove_file(&whole)?;
            folder::note_uploaded(&self.directory, entry)?;
        }
        info!(%path, bucket = %self.s3.bucket, %key, "Recording uploaded");
        Ok(())
    }

    /// Where a file of this path is.
    pub(super) fn url(&self, path: &str) -> String {
        format!("s3://{}/{}", self.s3.bucket, self.s3.key(path))
    }

    /// Deletes a file that is there; one that is not is as good as deleted.
    pub(super) fn delete(&self, url: &str, path: &str) -> anyhow::Result<()> {
        let key = self.s3.key(path);
        ensure!(url == self.url(path), "{url} is not in the store of [recording]");
        ensure!(!self.is_away(), "the store did not answer a moment ago");
        let delete = self.bucket.delete_object(Some(&self.credentials), &key);
        let request = self.agent.delete(delete.sign(SIGNED_FOR).as_str());
        let answer = request.config().timeout_global(Some(DELETION)).build().call();
        let answers = matches!(answer, Ok(_) | Err(ureq::Error::StatusCode(_)));
        *self.away.lock().unwrap_or_else(PoisonError::into_inner) = (!answers).then(Instant::now);
        match answer {
            Ok(_) | Err(ureq::Error::StatusCode(404)) => Ok(()),
            Err(error) => Err(error).context("the store does not delete it"),
        }
    }

    /// Whether it did not answer a moment ago.
    pub(super) fn is_away(&self) -> bool {
        let away = *self.away.lock().unwrap_or_else(PoisonError::into_inner);
        away.is_some_and(|since| since.elapsed() < AWAY_FOR)
    }

    fn confirm(&self, key: &str, length: u64, checksum: &str) -> anyhow::Result<()> {
        let mut head = self.bucket.head_object(Some(&self.credentials), key);
        head.headers_mut().insert("x-amz-checksum-mode", "ENABLED");
        let request = self.agent.head(head.sign(SIGNED_FOR).as_str()).header("x-amz-checksum-mode", "ENABLED");
        let response = request.call().context("the store does not confirm")?;
        let told = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        ensure!(told("content-length") == Some(length.to_string().as_str()), "the store has another length");
        // Stores that keep no checksums have checked it when the file came, and tell none.
        ensure!(told(CHECKSUM).is_none_or(|kept| kept == checksum), "the store has other bytes");
        Ok(())
    }
}
