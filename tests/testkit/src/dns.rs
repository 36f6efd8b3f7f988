//! A DNS server with the records of one test: dnsmasq.
use crate::{ports::Ports, process::Process};
use anyhow::Result;
use std::{net::SocketAddr, process::Command, time::Duration};

/// How long it may take to start.
const START: Duration = Duration::from_secs(10);

/// A DNS server for the domain `example`; killed when dropped.
#[derive(Debug)]
pub struct Dns {
    process: Process,
    at: SocketAddr,
}

impl Dns {
    /// Serves `records`, each an option of dnsmasq without its dashes: `host-record=…`, `srv-host=…`, `naptr-record=…`.
    /// Other names of the domain do not exist.
    ///
    /// # Errors
    /// It cannot be started, or does not take a record.
    pub fn serve(records: &[String], ports: &mut Ports) -> Result<Self> {
        let at = ports.address()?;
        let mut command = Command::new("dnsmasq");
        // As root it would become somebody who may not exist.
        command.args(["--no-daemon", "--conf-file=/dev/null", "--user=root", "--pid-file="]);
        command.args(["--no-resolv", "--no-hosts", "--bind-interfaces", "--local=/example/", "--log-queries"]);
        command.arg(format!("--listen-address={}", at.ip())).arg(format!("--port={}", at.port()));
        command.args(records.iter().map(|record| format!("--{record}")));
        let mut process = Process::start("dnsmasq", &mut command)?;
        process.wait_for_line("started, version", START)?;
        Ok(Self { process, at })
    }

    /// Where it is asked.
    #[must_use]
    pub fn at(&self) -> SocketAddr {
        self.at
    }

    /// What it was asked, one line a question and one an answer.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.process.lines()
    }
}
