//! Asks a running server on its control socket.
use crate::{
    config::Config,
    control::{self, Ask, Reply, Request, VERSION},
};
use anyhow::{Context, bail};
use std::{
    fs,
    io::{self, BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
};

/// Which server.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Where {
    /// Configuration file of the server, else that of the variable RAMAL_CONFIG; without either, the server of this
    /// machine that runs
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Its control socket, where it is not found by itself
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    socket: Option<PathBuf>,
}

impl Where {
    /// Asks, and gives each reply as it comes, until the last.
    ///
    /// # Errors
    /// No server, or more than one; the message says what to do.
    pub(super) fn ask(&self, ask: Ask) -> anyhow::Result<Replies> {
        let mut stream = self.connect()?;
        let mut line = serde_json::to_vec(&Request { version: VERSION, ask })?;
        line.push(b'\n');
        stream.write_all(&line)?;
        Ok(Replies { reader: BufReader::new(stream) })
    }

    fn connect(&self) -> anyhow::Result<UnixStream> {
        if let Some(path) = &self.socket {
            return open(path);
        }
        let config = super::load(self.config.as_deref())?;
        if let Some(path) = &config.control.socket {
            return open(path);
        }
        let port = config.sip.listeners.first().map(|listener| listener.address.port());
        let places = control::places(&config.control.folders, port.unwrap_or_default());
        if let Some(stream) = places.iter().find_map(|place| UnixStream::connect(place).ok()) {
            return Ok(stream);
        }
        let said = self.config.is_some() || super::configured(&super::environment()).is_some();
        if !said {
            return only(&config);
        }
        let port = port.unwrap_or_default();
        bail!("no server of this configuration (SIP port {port}) runs here; start it with `ramal serve --config FILE`")
    }
}

fn open(path: &Path) -> anyhow::Result<UnixStream> {
    UnixStream::connect(path).map_err(|error| {
        let shown = path.display();
        match error.kind() {
            io::ErrorKind::PermissionDenied => {
                anyhow::anyhow!("{shown} is another user's: ask as the user that runs the server, or as root")
            }
            _ => anyhow::Error::from(error).context(format!("no server answers at {shown}; is `ramal serve` running?")),
        }
    })
}

/// The one server that answers in any of the folders.
fn only(config: &Config) -> anyhow::Result<UnixStream> {
    let files = config.control.folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
    let named = files.map(|file| file.path()).filter(|path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.starts_with("ramal-") && name.ends_with(".sock")
    });
    let mut found: Vec<PathBuf> = named.collect();
    found.sort();
    found.dedup();
    let closed = found
        .iter()
        .find(|path| UnixStream::connect(path).is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied));
    let mut answering: Vec<(&PathBuf, UnixStream)> =
        found.iter().filter_map(|path| Some((path, UnixStream::connect(path).ok()?))).collect();
    match (answering.len(), closed) {
        (0, Some(path)) => open(path),
        (0, None) => bail!("no server runs here; start one with `ramal serve`, or name its socket with --socket FILE"),
        (1, _) => answering.pop().map(|(_, stream)| stream).context("no server"),
        (_, _) => {
            let names: Vec<String> = answering.iter().map(|(path, _)| format!("  {}", path.display())).collect();
            bail!("more than one server runs here; name one with --config FILE or --socket:\n{}", names.join("\n"))
        }
    }
}

/// What a server tells, one reply at a time.
#[derive(Debug)]
pub(super) struct Replies {
    reader: BufReader<UnixStream>,
}

impl Iterator for Replies {
    type Item = anyhow::Result<Reply>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut line = String::new();
        let reply = match self.reader.read_line(&mut line) {
            Ok(0) => return Some(Err(anyhow::anyhow!("the server has gone"))),
            Ok(_) => serde_json::from_str(&line).context("the server says something this program does not know"),
            Err(error) => Err(error.into()),
        };
        match reply {
            Ok(Reply::End) => None,
            Ok(Reply::Refused { why }) => Some(Err(anyhow::anyhow!(why))),
            other => Some(other),
        }
    }
}
