//! Kamailio as registrar and proxy, with UDP, TCP and TLS.
use crate::{authority::Authority, ports::Ports, process::Process};
use anyhow::{Context, Result, ensure};
use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

/// How long it may take to start.
const START: Duration = Duration::from_secs(20);
/// Shared and private memory of each process, in MiB: a few calls.
const MEMORY: [&str; 4] = ["-m", "32", "-M", "4"];

/// The domain it serves.
pub const DOMAIN: &str = "demo.example";

/// A proxy under way. 2000 registers with the password `s3cret`; see `kamailio.cfg` for what it says.
#[derive(Debug)]
pub struct Kamailio {
    process: Process,
    folder: PathBuf,
    /// Where it takes UDP and TCP.
    pub sip: SocketAddr,
    /// Where it takes TLS.
    pub tls: SocketAddr,
    /// Where calls of 1000 go, over UDP.
    pub desk: SocketAddr,
}

impl Kamailio {
    /// Starts it with a certificate of this authority. It challenges with `algorithm`: `MD5` or `SHA-256`.
    ///
    /// # Errors
    /// Kamailio is not installed, or did not start.
    pub fn start(authority: &Authority, algorithm: &str, ports: &mut Ports, folder: &Path) -> Result<Self> {
        let (sip, tls, desk) = (ports.address()?, ports.address()?, ports.address()?);
        let folder = folder.join(format!("kamailio-{}", sip.port()));
        fs::create_dir_all(&folder)?;
        let certified = authority.certify(&folder, "kamailio")?;
        let configuration = include_str!("kamailio.cfg")
            .replace("@SIP@", &sip.to_string())
            .replace("@TLS@", &tls.to_string())
            .replace("@DESK@", &desk.to_string())
            .replace("@DOMAIN@", DOMAIN)
            .replace("@ALGORITHM@", algorithm)
            .replace("@CERTIFICATE@", &certified.certificate.to_string_lossy())
            .replace("@KEY@", &certified.key.to_string_lossy())
            .replace("@AUTHORITY@", &authority.file.to_string_lossy());
        fs::write(folder.join("kamailio.cfg"), configuration)?;
        let process = launch(&folder)?;
        Ok(Self { process, folder, sip, tls, desk })
    }

    /// Its lines.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Waits until a line says that it did `what`, e.g. `routed BYE over tcp`; returns the URI it went to.
    ///
    /// # Errors
    /// It did not within `patience`.
    pub fn wait_for(&mut self, what: &str, patience: Duration) -> Result<String> {
        let line = self.process.wait_for_line(&format!("kamailio: {what} "), patience)?;
        line.rsplit_once(" to ").map(|(_, uri)| uri.to_owned()).context("a line without a destination")
    }

    /// Kills it like a machine that fails, all its connections with it, and starts it anew on the same ports: it knows
    /// nobody then.
    ///
    /// # Errors
    /// It did not start again.
    pub fn replace(&mut self) -> Result<()> {
        kill(&self.process)?;
        fs::remove_file(self.folder.join("kamailio.pid"))?;
        self.process = launch(&self.folder)?;
        Ok(())
    }
}

impl Drop for Kamailio {
    fn drop(&mut self) {
        // A test that fails already has its message; nothing more can be done here.
        drop(kill(&self.process));
    }
}

fn launch(folder: &Path) -> Result<Process> {
    let mut command = Command::new("kamailio");
    // In the foreground, with its log on standard error.
    command.args(["-DD", "-E"]).args(MEMORY);
    command.arg("-f").arg(folder.join("kamailio.cfg")).arg("-P").arg(folder.join("kamailio.pid")).arg("-Y").arg(folder);
    let mut process = Process::start("kamailio", &mut command)?;
    process.wait_for_line("kamailio: ready", START)?;
    Ok(process)
}

/// Ends all its processes at once: the first one's death alone would leave its workers behind.
fn kill(process: &Process) -> Result<()> {
    let id = process.id().to_string();
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"))?;
    let status = Command::new("kill").args(["-s", "KILL", &id]).args(children.split_whitespace()).status()?;
    ensure!(status.success(), "kill: {status}");
    Ok(())
}
