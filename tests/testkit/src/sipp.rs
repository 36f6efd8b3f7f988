//! SIPp as caller, registrar or PBX: one run of one scenario of `sipp-scenarios/`.
use crate::{ports::Ports, process::Process};
use anyhow::{Context, Result, bail};
use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

/// What SIPp speaks over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// One UDP socket.
    Udp,
    /// One TCP connection.
    Tcp,
}

/// Whether SIPp retransmits, and absorbs retransmissions itself before the scenario sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retransmission {
    /// As RFC 3261 has it.
    Automatic,
    /// Neither: each copy of a message is matched against the scenario.
    Visible,
}

/// A run to be started.
#[derive(Clone, Debug)]
pub struct Sipp {
    scenario: String,
    remote: Option<SocketAddr>,
    service: String,
    transport: Transport,
    retransmission: Retransmission,
    local: Option<SocketAddr>,
    audio: Option<u16>,
    keys: Vec<(String, String)>,
    patience: Duration,
}

/// A run under way.
#[derive(Debug)]
pub struct SippRun {
    process: Process,
    scenario: String,
    folder: PathBuf,
    local: SocketAddr,
    patience: Duration,
}

impl Sipp {
    /// `scenario` is a file name in `sipp-scenarios/` without its `.xml`.
    #[must_use]
    pub fn new(scenario: &str) -> Self {
        Self {
            scenario: scenario.into(),
            remote: None,
            service: "demo".into(),
            transport: Transport::Udp,
            retransmission: Retransmission::Automatic,
            local: None,
            audio: None,
            keys: Vec::new(),
            patience: Duration::from_secs(30),
        }
    }

    /// Where the first message goes; none for a scenario that waits for one.
    #[must_use]
    pub fn to(mut self, remote: SocketAddr) -> Self {
        self.remote = Some(remote);
        self
    }

    /// The called user, `[service]` in the scenario; `demo` if not set.
    #[must_use]
    pub fn service(mut self, user: &str) -> Self {
        self.service = user.into();
        self
    }

    /// UDP if not set.
    #[must_use]
    pub fn over(mut self, transport: Transport) -> Self {
        self.transport = transport;
        self
    }

    /// Automatic if not set.
    #[must_use]
    pub fn retransmission(mut self, retransmission: Retransmission) -> Self {
        self.retransmission = retransmission;
        self
    }

    /// SIPp's own address; a free one if not set.
    #[must_use]
    pub fn from(mut self, local: SocketAddr) -> Self {
        self.local = Some(local);
        self
    }

    /// The port its SDP names, `[audio]`; one where nobody listens if not set.
    #[must_use]
    pub fn audio(mut self, port: u16) -> Self {
        self.audio = Some(port);
        self
    }

    /// A value for `[name]` in the scenario.
    #[must_use]
    pub fn key(mut self, name: &str, value: impl ToString) -> Self {
        self.keys.push((name.into(), value.to_string()));
        self
    }

    /// How long the whole run may take; 30 s if not set.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Runs it to its end and returns all messages; its traces are written to `folder`.
    ///
    /// # Errors
    /// The call did not go as the scenario says; the message has the end of SIPp's traces.
    pub fn run(self, ports: &mut Ports, folder: &Path) -> Result<String> {
        self.start(ports, folder)?.finish()
    }

    /// Starts it.
    ///
    /// # Errors
    /// SIPp cannot be started, or no port is left.
    pub fn start(self, ports: &mut Ports, folder: &Path) -> Result<SippRun> {
        let file = scenarios().join(format!("{}.xml", self.scenario));
        if !file.exists() {
            bail!("no scenario {}", file.display());
        }
        let local = match self.local {
            Some(local) => local,
            None => ports.address()?,
        };
        let audio = match self.audio {
            Some(port) => port,
            None => ports.run(2)?.0,
        };
        // SIPp takes these for itself, though it plays nothing.
        let media = ports.run(4)?.0;
        let folder = folder.join(format!("sipp-{}-{}", self.scenario, local.port()));
        fs::create_dir_all(&folder)?;
        let mut command = Command::new("sipp");
        command.args(self.remote.map(|remote| remote.to_string()));
        command.arg("-sf").arg(file).args(["-s", &self.service, "-m", "1", "-l", "1", "-nostdin"]);
        command.args(["-i", &local.ip().to_string(), "-p", &local.port().to_string(), "-bind_local"]);
        command.args(["-mi", &local.ip().to_string(), "-mp", &media.to_string()]);
        command.args(["-cp", &ports.port()?.to_string()]);
        command.args(["-t", if self.transport == Transport::Udp { "u1" } else { "t1" }]);
        command.args(["-timeout", &self.patience.as_secs().to_string(), "-timeout_error"]);
        command.arg("-trace_msg").arg("-message_file").arg(folder.join("messages.log"));
        command.arg("-trace_err").arg("-error_file").arg(folder.join("errors.log"));
        if self.retransmission == Retransmission::Visible {
            command.arg("-nr");
        }
        command.args(["-key", "audio", &audio.to_string()]);
        for (name, value) in &self.keys {
            command.args(["-key", name, value]);
        }
        command.current_dir(&folder);
        let process = Process::start("sipp", &mut command)?;
        Ok(SippRun { process, scenario: self.scenario, folder, local, patience: self.patience })
    }
}

impl SippRun {
    /// SIPp's own address.
    #[must_use]
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// Waits until the run ends by itself, and returns all messages.
    ///
    /// # Errors
    /// The call did not go as the scenario says.
    pub fn finish(self) -> Result<String> {
        // SIPp has a timeout of its own; a little more lets it write its traces.
        let ended = self.process.wait(self.patience + Duration::from_secs(5))?;
        if ended.status.success() {
            return read(&self.folder.join("messages.log"));
        }
        let said = ended.lines.iter().rev().find(|line| !line.is_empty()).cloned().unwrap_or_default();
        bail!(
            "{} failed with {}: {said}\n--- errors\n{}\n--- messages\n{}",
            self.scenario,
            ended.status,
            tail(&self.folder.join("errors.log"), 3_000),
            tail(&self.folder.join("messages.log"), 12_000)
        );
    }

    /// All messages sent and received so far.
    ///
    /// # Errors
    /// The trace is not there yet.
    pub fn messages(&self) -> Result<String> {
        read(&self.folder.join("messages.log"))
    }
}

/// The folder of the scenarios.
#[must_use]
pub fn scenarios() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sipp-scenarios")
}

fn read(file: &Path) -> Result<String> {
    let bytes = fs::read(file).with_context(|| format!("read {}", file.display()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn tail(file: &Path, most: usize) -> String {
    let text = fs::read(file).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let mut from = text.len().saturating_sub(most);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    text.get(from..).unwrap_or_default().to_owned()
}
