//! The program under test: a process of its own, so that what it uses is not mixed with what measuring uses.
use crate::{machine, provider::Provider};
use anyhow::{Context, Result, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    collections::BTreeMap,
    env,
    fs::{self, File},
    io::{BufRead, BufReader},
    net::{SocketAddr, UdpSocket},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

/// The secretary that is called.
pub(crate) const EXTENSION: &str = "bench";
/// Linux counts CPU time for /proc in hundredths of a second on every architecture (USER_HZ).
const TICKS_PER_SECOND: f64 = 100.0;
const START: Duration = Duration::from_secs(20);
const END: Duration = Duration::from_secs(25);

/// Who hears on our side whether a caller speaks (`media.vad`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detector {
    /// As by default.
    Silero,
    /// Nobody.
    Off,
}

impl Detector {
    /// As in the configuration.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Silero => "silero",
            Self::Off => "off",
        }
    }
}

/// A running `ramal serve`; ended when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    /// Where it takes SIP over UDP.
    pub(crate) sip: SocketAddr,
    log: PathBuf,
}

impl Server {
    /// Starts `program` with this provider, keeping its files in `folder`.
    pub(crate) fn start(program: &Path, folder: &Path, provider: &Provider, detector: Detector) -> Result<Self> {
        let free = UdpSocket::bind("127.0.0.1:0").context("a port for the server")?.local_addr()?;
        Self::run(program, folder, free, &configuration(free, provider, &folder.join("bench.db"), detector))
    }

    /// Starts `program`, which takes SIP at `free`, in `folder`; what an earlier one kept there goes.
    pub(crate) fn run(program: &Path, folder: &Path, free: SocketAddr, configuration: &str) -> Result<Self> {
        Self::launch(Command::new(program), folder, free, configuration)
    }

    /// The same with a command that becomes the program.
    pub(crate) fn launch(mut command: Command, folder: &Path, free: SocketAddr, configuration: &str) -> Result<Self> {
        let program = command.get_program().to_owned();
        for left in ["bench.db", "bench.db-wal", "bench.db-shm"] {
            // The first run leaves none.
            let _ = fs::remove_file(folder.join(left));
        }
        let config = folder.join("bench.toml");
        fs::write(&config, configuration)?;
        let log = folder.join("server.log");
        for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("RAMAL_")) {
            command.env_remove(name);
        }
        command.arg("serve").arg("--config").arg(&config).current_dir(folder).env_remove("RUST_LOG");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(File::create(&log)?);
        let mut child = command.spawn().with_context(|| format!("start {}", program.display()))?;
        let stdout = child.stdout.take().context("its output")?;
        let server = Self { child, sip: free, log };
        let (ready, listening) = mpsc::channel();
        // Reads on after the line that matters, so that the server never blocks on a full pipe.
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                // Nobody listens once the server is up.
                let _ = ready.send(line);
            }
        });
        let deadline = Instant::now() + START;
        let expected = format!("listening udp {free}");
        while let Ok(line) = listening.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            if line.contains(&expected) {
                return Ok(server);
            }
        }
        bail!("{} did not say {expected:?}; its log ends with:\n{}", program.display(), server.last_words())
    }

    /// Its log so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The end of its log.
    pub(crate) fn last_words(&self) -> String {
        let text = self.log();
        let lines: Vec<&str> = text.lines().collect();
        lines.get(lines.len().saturating_sub(15)..).unwrap_or_default().join("\n")
    }

    /// Warnings and errors in its log so far.
    pub(crate) fn complaints(&self) -> usize {
        self.log().lines().filter(|line| line.contains("WARN") || line.contains("ERROR")).count()
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it gets a core, in words.
    pub(crate) fn scheduling(&self) -> String {
        machine::scheduling(self.child.id())
    }

    /// What it uses at this moment.
    pub(crate) fn usage(&self) -> Result<Usage> {
        Usage::of(self.child.id())
    }

    /// Datagrams for its SIP socket that the kernel dropped so far, as the server did not read in time.
    pub(crate) fn dropped(&self) -> Result<u64> {
        dropped(&fs::read_to_string("/proc/net/udp")?, self.sip.port()).context("its socket in /proc/net/udp")
    }

    /// CPU time of its threads so far, those of one kind (`media-0`, `media-1`) together.
    pub(crate) fn threads(&self) -> BTreeMap<String, f64> {
        let mut kinds = BTreeMap::new();
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).into_iter().flatten().flatten();
        for stat in tasks.filter_map(|task| fs::read_to_string(task.path().join("stat")).ok()) {
            let Some((name, ticks)) = thread(&stat) else { continue };
            *kinds.entry(name).or_default() += f64::from(ticks) / TICKS_PER_SECOND;
        }
        kinds
    }

    /// Ends it politely; true when it did so by itself and without an error.
    pub(crate) fn end(mut self) -> Result<bool> {
        kill(Pid::from_raw(i32::try_from(self.child.id())?), Signal::SIGTERM).context("SIGTERM")?;
        let deadline = Instant::now() + END;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status.success());
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(false)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // After `end` it is gone already, and there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn configuration(sip: SocketAddr, provider: &Provider, database: &Path, detector: Detector) -> String {
    let trusted = provider.ca_file().map_or(String::new(), |file| format!("ca_file = \"{}\"\n", file.display()));
    format!(
        r#"# Written by the benchmark.
[sip]
udp = ["{sip}"]
tcp = []
max_calls = 5000
[rtp]
address = "127.0.0.1"
ports = "22000-27999"
[media]
vad = "{}"
echo = "pass"
[database]
url = "sqlite:{}"
[openai]
api_key = "not-a-key"
url = "{}"
{trusted}[local]
models_dir = "no-models"
[log]
level = "warn"
[[peers]]
name = "phones"
addresses = ["127.0.0.1"]
[[secretaries]]
domain = "bench.example"
name = "Bench"
extension = "{EXTENSION}"
provider = "openai"
language = "en-US"
prompt = "You are being measured."
max_duration_seconds = 3600
max_turns = 10000
"#,
        detector.as_str(),
        database.display(),
        provider.url(),
    )
}

/// Name without its number, and CPU time, of a line of /proc/<pid>/stat or of one of its tasks. The name in brackets may
/// hold anything; what follows it begins with field 3, and CPU time is in fields 14 and 15.
fn thread(stat: &str) -> Option<(String, u32)> {
    let (before, after) = stat.rsplit_once(')')?;
    let name = before.split_once('(')?.1.trim_end_matches(|c: char| c.is_ascii_digit() || c == '-');
    let ticks = after.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u32>().ok()).sum();
    Some((name.to_owned(), ticks))
}

/// The last column of the line of this port, in which ports are hexadecimal.
fn dropped(table: &str, port: u16) -> Option<u64> {
    let local = format!(":{port:04X}");
    let line = table.lines().find(|line| line.split_whitespace().nth(1).is_some_and(|at| at.ends_with(&local)))?;
    line.split_whitespace().last()?.parse().ok()
}

/// What a process has used.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    pub(crate) cpu: Duration,
    pub(crate) rss_kib: f64,
    /// Of it, what is mapped of files: code that was run, and the index that SQLite shares.
    pub(crate) mapped_kib: f64,
    pub(crate) at: Instant,
}

impl Usage {
    /// Of the process with this id.
    pub(crate) fn of(pid: u32) -> Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("the server is gone")?;
        let (_, ticks) = thread(&stat).context("/proc/<pid>/stat")?;
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let kib = |name: &'static str| -> Result<f64> {
            let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            value.and_then(|value| value.split_whitespace().next()?.parse().ok()).context(name)
        };
        let (rss_kib, mapped_kib) = (kib("VmRSS")?, kib("RssFile")? + kib("RssShmem")?);
        let cpu = Duration::from_secs_f64(f64::from(ticks) / TICKS_PER_SECOND);
        Ok(Self { cpu, rss_kib, mapped_kib, at: Instant::now() })
    }

    /// Percent of one core since `before`.
    pub(crate) fn percent_since(&self, before: &Self) -> f64 {
        let wall = self.at.saturating_duration_since(before.at).as_secs_f64();
        100.0 * self.cpu.saturating_sub(before.cpu).as_secs_f64() / wall.max(f64::MIN_POSITIVE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{hint::black_box, process};

    #[test]
    fn a_thread_is_known_by_its_kind() {
        let stat = "7 (media-12) S 1 1 1 0 -1 0 0 0 0 0 30 12 0 0 20 0";
        assert_eq!(thread(stat), Some(("media".into(), 42)));
        assert_eq!(thread("7 (a (b) c) S 1 1 1 0 -1 0 0 0 0 0 1 1 0"), Some(("a (b) c".into(), 2)));
    }

    #[test]
    fn the_drops_of_a_socket_are_found_by_its_port() {
        let table = "  sl  local_address rem_address   st inode ref pointer drops\n\
                     1: 0100007F:13C4 00000000:0000 07 1 2 0000 17\n2: 0100007F:13C5 00000000:0000 07 1 2 0000 0\n";
        assert_eq!([dropped(table, 5060), dropped(table, 5061), dropped(table, 5062)], [Some(17), Some(0), None]);
    }

    #[test]
    fn a_process_that_works_uses_a_core() {
        let before = Usage::of(process::id()).unwrap();
        let used = || Usage::of(process::id()).unwrap();
        let end = Instant::now() + Duration::from_secs(10);
        while used().cpu == before.cpu && Instant::now() < end {
            black_box((0..100_000_u64).sum::<u64>());
        }
        let after = used();
        assert!(after.cpu > before.cpu && after.rss_kib > after.mapped_kib && after.mapped_kib > 100.0, "{after:?}");
        assert!(after.percent_since(&before) > 0.0);
    }
}
