//! What one outside test stands on: its ports, its folder, and the program under test.
use crate::{
    ports::Ports,
    process::{Ended, Process},
};
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::{
    env, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{self, Command},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

/// Ports for RTP and RTCP of a server under test: eight calls at once.
const RTP_PORTS: u16 = 16;
/// How long a server may take to start and to end.
const START: Duration = Duration::from_secs(20);
/// How long a short command may take.
const COMMAND: Duration = Duration::from_secs(60);

/// Ports and a folder for one test. The folder is removed when all went well, and kept after a failure.
#[derive(Debug)]
pub struct Stage {
    /// Ports no other test has.
    pub ports: Ports,
    folder: PathBuf,
    program: PathBuf,
}

impl Stage {
    /// `program` is the Ramal that Cargo built for the test; `RAMAL_BIN` names another, e.g. the release build.
    ///
    /// # Errors
    /// No ports are free, or the folder cannot be made.
    pub fn set(program: &str) -> Result<Self> {
        static STAGES: AtomicU32 = AtomicU32::new(0);
        let number = STAGES.fetch_add(1, Ordering::Relaxed);
        let folder = env::temp_dir().join(format!("ramal-it-{}-{number}", process::id()));
        fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
        let program = env::var_os("RAMAL_BIN").map_or_else(|| program.into(), PathBuf::from);
        ensure!(program.exists(), "no program {}; `make build` makes it", program.display());
        Ok(Self { ports: Ports::take()?, folder, program })
    }

    /// Where the test may write.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A Ramal command without any `RAMAL_` setting of the outside.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("RAMAL_")) {
            command.env_remove(name);
        }
        command.args(arguments).current_dir(&self.folder);
        command
    }

    /// Runs a Ramal command to its end.
    ///
    /// # Errors
    /// It cannot be started, or takes too long.
    pub fn run(&self, arguments: &[&str]) -> Result<Ended> {
        Process::start("ramal", &mut self.command(arguments))?.wait(COMMAND)
    }

    /// Starts `ramal serve` with `settings` and waits until it takes calls.
    ///
    /// # Errors
    /// It did not start; the message has its log.
    pub fn serve(&mut self, settings: &Settings) -> Result<Ramal> {
        let serve = self.command(&["serve", "--config"]);
        self.start(serve, settings)
    }

    /// The same after a shell command, as root of namespaces of its own: what it mounts nobody else sees.
    ///
    /// # Errors
    /// As [`Self::serve`], and where the system gives no such namespaces.
    pub fn serve_after(&mut self, shell: &str, settings: &Settings) -> Result<Ramal> {
        let serve = self.command(&["serve", "--config"]);
        let mut within = Command::new("unshare");
        let script = format!("{shell} && exec \"$@\"");
        within.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script, "sh"]);
        for (name, _) in serve.get_envs() {
            within.env_remove(name); // as `command` did
        }
        within.arg(serve.get_program()).args(serve.get_args()).current_dir(&self.folder);
        self.start(within, settings)
    }

    /// Starts a command whose last argument is the file of `settings`.
    fn start(&mut self, command: Command, settings: &Settings) -> Result<Ramal> {
        let sip = self.ports.address()?;
        let (first, last) = self.ports.run(RTP_PORTS)?;
        let config = self.folder.join(format!("ramal-{}.toml", sip.port()));
        fs::write(&config, settings.toml(sip, (first, last), &self.folder))?;
        listening(command, sip, config)
    }

    /// Starts a server once more after its end: with the same addresses, and the same database.
    ///
    /// # Errors
    /// It does not start.
    pub fn serve_again(&self, config: &Path, sip: SocketAddr) -> Result<Ramal> {
        listening(self.command(&["serve", "--config"]), sip, config.to_owned())
    }

    /// The last conversations stored by a server with this configuration, newest last, waiting until there are `count`.
    ///
    /// # Errors
    /// There are fewer after some seconds, or the command fails.
    pub fn conversations(&self, config: &Path, count: usize) -> Result<Vec<Value>> {
        let path = config.to_string_lossy();
        let arguments = ["conversations", "--last", "20", "--json", "--config", &path];
        let mut stored = Vec::new();
        // The record is written after the BYE, by another task; each look is a process, so this is no busy loop.
        for _ in 0..40 {
            let ended = self.run(&arguments)?;
            ensure!(ended.status.success(), "ramal conversations: {}\n{}", ended.status, ended.lines.join("\n"));
            stored = records(&ended.lines)?;
            if stored.len() >= count {
                return Ok(stored);
            }
            std::thread::park_timeout(Duration::from_millis(100));
        }
        bail!("{} of {count} conversations stored: {stored:?}", stored.len())
    }

    /// Removes the folder; call it last, so that a failed test keeps its traces.
    ///
    /// # Errors
    /// The folder cannot be removed.
    pub fn clear(self) -> Result<()> {
        fs::remove_dir_all(&self.folder).with_context(|| format!("remove {}", self.folder.display()))
    }
}

/// Runs a command whose last argument is this configuration, until it takes SIP there.
fn listening(mut command: Command, sip: SocketAddr, config: PathBuf) -> Result<Ramal> {
    let mut process = Process::start("ramal serve", command.arg(&config))?;
    for transport in ["udp", "tcp"] {
        process.wait_for_line(&format!("listening {transport} {sip}"), START)?;
    }
    Ok(Ramal { process, sip, config })
}

/// A list, or one record a line.
fn records(lines: &[String]) -> Result<Vec<Value>> {
    let text = lines.iter().filter(|line| line.starts_with(['[', '{', ']', '}', ' '])).cloned().collect::<Vec<_>>();
    if let Ok(Value::Array(list)) = serde_json::from_str(&text.join("\n")) {
        return Ok(list);
    }
    text.iter().map(|line| serde_json::from_str(line).with_context(|| format!("not JSON: {line}"))).collect()
}

/// What a server under test is told, beside its addresses.
#[derive(Clone, Debug)]
pub struct Settings {
    sections: Vec<String>,
    sip: Vec<String>,
    call: Vec<String>,
    models: PathBuf,
    rtp: Vec<String>,
    media: Vec<String>,
}

impl Default for Settings {
    /// Nobody but loopback may call; the local provider has no models: it speaks English, and hears keys only.
    fn default() -> Self {
        // A server that is told to end leaves its calls this long.
        let call = vec!["drain_s = 1".into()];
        Self {
            sections: Vec::new(),
            sip: Vec::new(),
            call,
            models: PathBuf::from("no-models"),
            rtp: vec!["127.0.0.1".into()],
            media: Vec::new(),
        }
    }
}

impl Settings {
    /// Adds a section, or several, as TOML.
    #[must_use]
    pub fn with(mut self, toml: &str) -> Self {
        self.sections.push(toml.into());
        self
    }

    /// Adds a line to the section `[sip]`.
    #[must_use]
    pub fn sip(mut self, line: &str) -> Self {
        self.sip.push(line.into());
        self
    }

    /// Adds a line to the section `[call]`.
    #[must_use]
    pub fn call(mut self, line: &str) -> Self {
        self.call.push(line.into());
        self
    }

    /// Adds a line to the section `[rtp]`.
    #[must_use]
    pub fn media(mut self, line: &str) -> Self {
        self.media.push(line.into());
        self
    }

    /// Addresses that audio is received on.
    #[must_use]
    pub fn rtp(mut self, addresses: &[&str]) -> Self {
        self.rtp = addresses.iter().map(|&address| address.into()).collect();
        self
    }

    /// Speech models of the local provider.
    #[must_use]
    pub fn models(mut self, folder: &Path) -> Self {
        self.models = folder.into();
        self
    }

    /// Adds a secretary of the local provider who greets, and whose menu has one answer (key 1) and two transfers
    /// (key 2 to extension 1000, key 3 to 1001). `more` is TOML for the rest.
    #[must_use]
    pub fn secretary(self, extension: &str, more: &str) -> Self {
        self.with(&format!(
            r#"
[[secretaries]]
domain = "demo.example"
name = "{extension}"
extension = "{extension}"
provider = "local"
language = "en-US"
first_message = "Welcome to the test line."
answers = [{{ questions = ["What are your opening hours?"], answer = "We are open from nine to five." }}]
transfer_rules = [
    {{ name = "sales", aliases = ["the sales desk"], destination = "1000" }},
    {{ name = "support", destination = "1001" }},
]
{more}
"#
        ))
    }

    fn toml(&self, sip: SocketAddr, rtp: (u16, u16), folder: &Path) -> String {
        format!(
            r#"
[sip]
udp = ["{sip}"]
tcp = ["{sip}"]
{}
[rtp]
address = {:?}
ports = "{}-{}"
{}
[database]
url = "sqlite:{}"
[local]
models_dir = "{}"
[call]
{}
{}
"#,
            self.sip.join("\n"),
            self.rtp,
            rtp.0,
            rtp.1,
            self.media.join("\n"),
            folder.join(format!("ramal-{}.db", sip.port())).display(),
            self.models.display(),
            self.call.join("\n"),
            self.sections.join("\n")
        )
    }
}

/// A server under test; killed when dropped.
#[derive(Debug)]
pub struct Ramal {
    /// Its log.
    pub process: Process,
    /// Where it takes SIP over UDP and TCP.
    pub sip: SocketAddr,
    /// Its configuration.
    pub config: PathBuf,
}

impl Ramal {
    /// The URI of one of its secretaries.
    #[must_use]
    pub fn uri(&self, user: &str) -> String {
        format!("sip:{user}@{}", self.sip)
    }

    /// Ends it politely.
    ///
    /// # Errors
    /// It does not end in time, or not with 0.
    pub fn end(self) -> Result<Vec<String>> {
        self.process.terminate()?;
        let ended = self.process.wait(START)?;
        ensure!(ended.status.success(), "after SIGTERM: {}\n{}", ended.status, ended.lines.join("\n"));
        Ok(ended.lines)
    }
}
