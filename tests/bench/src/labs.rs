//! Simulated providers, as the product brings them: a process for each dialect, over TLS.
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

const START: Duration = Duration::from_secs(20);

/// A running `ramal lab`; ended when dropped.
#[derive(Debug)]
pub(crate) struct Lab {
    child: Child,
    /// Where it listens, with scheme and path.
    pub(crate) url: String,
    /// By which it is trusted, in PEM.
    pub(crate) certificate: String,
}

impl Lab {
    /// Starts the simulator of this name, which says what the script tells it to.
    pub(crate) fn start(program: &Path, folder: &Path, name: &str, script: &str) -> Result<Self> {
        let file = |ending: &str| -> PathBuf { folder.join(format!("lab-{name}.{ending}")) };
        fs::write(file("toml"), script)?;
        let mut command = Command::new(program);
        command.args(["lab", name, "--listen", "127.0.0.1:0", "--tls", "--json", "--script"]).arg(file("toml"));
        command.arg("--certificate").arg(file("pem")).current_dir(folder);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("start the simulator")?;
        let stdout = child.stdout.take().context("its output")?;
        let (said, listening) = mpsc::sync_channel(1);
        // Reads on, so that the simulator never blocks on a full pipe.
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                // Nobody listens once the first line is known.
                let _ = said.try_send(line);
            }
        });
        let mut lab = Self { child, url: String::new(), certificate: String::new() };
        let Ok(line) = listening.recv_timeout(START) else { bail!("`ramal lab {name}` did not start") };
        let known: Value = serde_json::from_str(&line).with_context(|| line.clone())?;
        known["listening"].as_str().context("its address")?.clone_into(&mut lab.url);
        lab.certificate = fs::read_to_string(file("pem")).context("its certificate")?;
        Ok(lab)
    }

    /// Its address without the path.
    pub(crate) fn host(&self) -> &str {
        let path = self.url.match_indices('/').nth(2).map(|(at, _)| at);
        path.and_then(|at| self.url.get(..at)).unwrap_or(&self.url)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // One that ended by itself is no trouble here: its calls told so.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
