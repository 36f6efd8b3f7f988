//! Resumable downloads: what has arrived stays in a `.part` file and is not asked for again.
use anyhow::{Context, bail};
use indicatif::ProgressBar;
use std::{
    env, fs,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use ureq::{
    Agent,
    http::{StatusCode, header},
    tls::{PemItem, RootCerts, TlsConfig, parse_pem},
};

/// Broken connections in a row after which we give up; the part stays for the next run.
const TRIES: u32 = 4;
const CONNECT: Duration = Duration::from_secs(20);
/// A connection that yields nothing for so long is broken.
const STALLED: Duration = Duration::from_secs(60);
const BUFFER: usize = 1 << 16;

/// Fetches a URL into a file, going on where an earlier attempt stopped.
///
/// # Errors
/// The server refuses, or the connection breaks too often.
pub(super) fn fetch(url: &str, path: &Path, progress: &ProgressBar) -> anyhow::Result<()> {
    if path.is_file() {
        return Ok(());
    }
    let agent = agent()?;
    let part = part(path);
    let mut failure = None;
    for _ in 0..TRIES {
        match attempt(&agent, url, &part, progress) {
            Ok(()) => return Ok(fs::rename(&part, path)?),
            Err(Trouble::Final(error)) => return Err(error),
            Err(Trouble::Passing(error)) => failure = Some(error),
        }
    }
    Err(failure.context("nothing was tried")?.context("the connection broke; run it again to go on"))
}

/// Where the bytes are until all have arrived.
fn part(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    PathBuf::from(name)
}

enum Trouble {
    Passing(anyhow::Error),
    Final(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Trouble {
    fn from(error: E) -> Self {
        Self::Passing(error.into())
    }
}

fn attempt(agent: &Agent, url: &str, part: &Path, progress: &ProgressBar) -> Result<(), Trouble> {
    let have = fs::metadata(part).map_or(0, |metadata| metadata.len());
    let mut request = agent.get(url);
    if have > 0 {
        request = request.header(header::RANGE, format!("bytes={have}-"));
    }
    let mut response = request.call()?;
    let start = match response.status() {
        StatusCode::PARTIAL_CONTENT => have,
        StatusCode::OK => 0,
        // The part is longer than the file: it is of something else.
        StatusCode::RANGE_NOT_SATISFIABLE => {
            fs::remove_file(part)?;
            return Err(Trouble::Passing(anyhow::anyhow!("the part did not fit the file")));
        }
        status => return Err(Trouble::Final(anyhow::anyhow!("the server answers {status}"))),
    };
    let total = response.body().content_length().map(|rest| start + rest);
    progress.set_length(total.unwrap_or(0));
    progress.set_position(start);
    let mut file = fs::OpenOptions::new().create(true).append(start > 0).write(true).truncate(start == 0).open(part)?;
    let copied = copy(&mut response.body_mut().as_reader(), &mut file, progress);
    file.flush()?;
    let got = start + copied?;
    match total {
        Some(total) if total != got => Err(Trouble::Passing(anyhow::anyhow!("{got} of {total} bytes arrived"))),
        Some(_) | None => Ok(()),
    }
}

fn copy(from: &mut impl Read, to: &mut impl Write, progress: &ProgressBar) -> io::Result<u64> {
    let mut buffer = vec![0; BUFFER];
    let mut copied = 0;
    loop {
        let length = from.read(&mut buffer)?;
        if length == 0 {
            return Ok(copied);
        }
        to.write_all(buffer.get(..length).unwrap_or_default())?;
        copied += length as u64;
        progress.inc(length as u64);
    }
}

/// An agent that trusts whom `SSL_CERT_FILE` names, or else Mozilla's list.
fn agent() -> anyhow::Result<Agent> {
    let roots = match env::var_os("SSL_CERT_FILE").filter(|path| !path.is_empty()) {
        None => RootCerts::WebPki,
        Some(path) => {
            let pem = fs::read(&path).with_context(|| format!("SSL_CERT_FILE {}", Path::new(&path).display()))?;
            let certificates = parse_pem(&pem).filter_map(|item| match item {
                Ok(PemItem::Certificate(certificate)) => Some(certificate),
                Ok(_) | Err(_) => None,
            });
            let certificates: Vec<_> = certificates.collect();
            if certificates.is_empty() {
                bail!("SSL_CERT_FILE names a file without certificates");
            }
            RootCerts::Specific(Arc::new(certificates))
        }
    };
    let config = Agent::config_builder()
        .tls_config(TlsConfig::builder().root_certs(roots).build())
        .http_status_as_error(false)
        .timeout_connect(Some(CONNECT))
        .timeout_recv_response(Some(STALLED))
        .timeout_per_read(Some(STALLED))
        .build();
    Ok(config.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io::{BufRead, BufReader},
        net::{TcpListener, TcpStream},
        thread,
    };

    const BODY: &[u8] = b"0123456789abcdefghij";

    /// Answers like a file server, but breaks the first connection after five bytes.
    fn serve(listener: &TcpListener) -> Vec<Option<String>> {
        let mut ranges = Vec::new();
        for (n, stream) in listener.incoming().take(2).enumerate() {
            let mut stream = stream.unwrap();
            let range = range_of(&stream);
            let start: usize = range.as_deref().map_or(0, |range| range.parse().unwrap());
            let status = if start == 0 { "200 OK" } else { "206 Partial Content" };
            let length = BODY.len() - start;
            write!(stream, "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n").unwrap();
            let end = if n == 0 { start + 5 } else { BODY.len() };
            stream.write_all(&BODY[start..end]).unwrap();
            ranges.push(range);
        }
        ranges
    }

    fn range_of(stream: &TcpStream) -> Option<String> {
        let lines = BufReader::new(stream).lines().map(Result::unwrap).take_while(|line| !line.is_empty());
        let mut range = None;
        for line in lines.map(|line| line.to_lowercase()) {
            range = line.strip_prefix("range: bytes=").map(|range| range.trim_end_matches('-').to_owned()).or(range);
        }
        range
    }

    #[test]
    fn a_broken_download_goes_on_where_it_broke() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/file", listener.local_addr().unwrap());
        let server = thread::spawn(move || serve(&listener));
        let folder = crate::models::tests::Folder::new("download");
        let path = folder.path().join("file");
        fetch(&url, &path, &ProgressBar::hidden()).unwrap();
        assert_eq!(fs::read(&path).unwrap(), BODY);
        assert_eq!(server.join().unwrap(), [None, Some("5".to_owned())]);
        assert!(!part(&path).exists());
    }

    #[test]
    fn a_refusal_is_final_and_leaves_nothing() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/file", listener.local_addr().unwrap());
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = range_of(&stream);
            write!(stream, "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
        });
        let folder = crate::models::tests::Folder::new("refusal");
        let error = fetch(&url, &folder.path().join("file"), &ProgressBar::hidden()).unwrap_err();
        assert!(error.to_string().contains("404"), "{error}");
        server.join().unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
