//! Two pages for machines over plain HTTP, `GET /health` and `GET /metrics`: for whoever may reach the address, so that is the
//! administrator's choice, and none by default. No tenant is named on them.
use super::control::Sources;
use crate::{
    control::Health,
    metrics::{self, Audience},
};
use std::{io, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::timeout,
};
use tracing::debug;

/// Readers at one time; one more is closed at once.
const READERS: usize = 16;
/// How long a reader may take to ask, and to take what it is told.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest request, in bytes.
const LONGEST: u64 = 8_192;
/// How long we wait after a reader that could not be accepted, mostly for want of file descriptors.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// An answer.
struct Page {
    status: &'static str,
    kind: &'static str,
    body: String,
}

/// Answers until the task is aborted.
pub(super) async fn run(listener: TcpListener, sources: Arc<Sources>) {
    let room = Arc::new(Semaphore::new(READERS));
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                debug!(%error, "the pages take nobody");
                tokio::time::sleep(ACCEPT_AGAIN).await;
                continue;
            }
        };
        let Ok(permit) = Arc::clone(&room).try_acquire_owned() else { continue };
        let sources = Arc::clone(&sources);
        tokio::spawn(async move {
            if let Err(error) = serve(stream, &sources).await {
                debug!(%error, "a reader went away");
            }
            drop(permit);
        });
    }
}

async fn serve(mut stream: TcpStream, sources: &Sources) -> io::Result<()> {
    let asked = timeout(PATIENCE, request(&mut stream)).await??;
    let page = match path(&asked) {
        Some("/health") => health(sources).await,
        Some("/metrics") => metrics(sources).await,
        Some(_) => plain("404 Not Found", "There are /health and /metrics.\n"),
        None => plain("405 Method Not Allowed", "Only GET is understood.\n"),
    };
    let Page { status, kind, body } = page;
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nCache-Control: no-store\r\nConnection: \
         close\r\n\r\n",
        body.len()
    );
    timeout(PATIENCE, stream.write_all((head + &body).as_bytes())).await??;
    stream.shutdown().await
}

/// All of a request without a body (RFC 9112 §2.1), or what came of it.
async fn request(stream: &mut TcpStream) -> io::Result<String> {
    let mut asked = Vec::new();
    let mut stream = stream.take(LONGEST);
    while !asked.windows(4).any(|end| end == b"\r\n\r\n") {
        if stream.read_buf(&mut asked).await? == 0 {
            break;
        }
    }
    Ok(String::from_utf8_lossy(&asked).into_owned())
}

/// The path of a GET, without its query.
fn path(asked: &str) -> Option<&str> {
    let target = asked.strip_prefix("GET ")?.split(' ').next()?;
    target.split('?').next()
}

fn plain(status: &'static str, words: &str) -> Page {
    Page { status, kind: "text/plain", body: words.to_owned() }
}

async fn health(sources: &Sources) -> Page {
    let Some((status, ..)) = sources.status().await else {
        return plain("503 Service Unavailable", "the server is ending, or does not answer\n");
    };
    // A provider that is down is no reason to take calls elsewhere: the ladder is there for that.
    let body = serde_json::to_string(&Health::from(status)).unwrap_or_default() + "\n";
    Page { status: "200 OK", kind: "application/json", body }
}

async fn metrics(sources: &Sources) -> Page {
    let Some((status, report, (media, waits))) = sources.status().await else {
        return plain("503 Service Unavailable", "the server is ending, or does not answer\n");
    };
    let body = metrics::prometheus(&status, &report.messages, report.hep_lost, (&media, &waits), Audience::Anybody);
    Page { status: "200 OK", kind: "text/plain; version=0.0.4", body }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_a_request_is_read_without_its_query_and_of_a_get_alone() {
        assert_eq!(path("GET /health?a=b HTTP/1.1\r\nHost: x\r\n\r\n"), Some("/health"));
        assert_eq!(path("GET /metrics HTTP/1.1"), Some("/metrics"));
        assert_eq!(path("POST /health HTTP/1.1"), None);
        assert_eq!(path(""), None);
    }
}
