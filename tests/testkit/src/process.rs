//! A program of a test: its lines are kept, awaited with a deadline, and it never outlives the test.
use anyhow::{Context, Result, bail};
use std::{
    ffi::OsStr,
    fmt,
    io::{BufRead, BufReader, Read, Write},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// How often an ended process is looked for while nothing else wakes us.
const LOOK: Duration = Duration::from_millis(20);
/// Lines of output shown when a test fails.
const TAIL: usize = 60;

/// A running program with its output, standard output and error in one list as they came.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    input: Option<ChildStdin>,
    output: Arc<Output>,
    readers: Vec<thread::JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Output {
    lines: Mutex<Vec<String>>,
    grown: Condvar,
}

impl Output {
    fn lines(&self) -> MutexGuard<'_, Vec<String>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How a program ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit status.
    pub status: ExitStatus,
    /// All its lines.
    pub lines: Vec<String>,
}

impl Process {
    /// Starts `command` without an input. `name` is for messages.
    ///
    /// # Errors
    /// The program is not there (then the message says what to install), or cannot be started.
    pub fn start(name: &str, command: &mut Command) -> Result<Self> {
        Self::run(name, command.stdin(Stdio::null()))
    }

    /// As [`Self::start`], with an input for [`Self::tell`].
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_with_input(name: &str, command: &mut Command) -> Result<Self> {
        Self::run(name, command.stdin(Stdio::piped()))
    }

    fn run(name: &str, command: &mut Command) -> Result<Self> {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| missing(command.get_program()))?;
        let output = Arc::new(Output::default());
        let mut readers = Vec::new();
        if let Some(stdout) = child.stdout.take() {
            readers.push(read(stdout, &output));
        }
        if let Some(stderr) = child.stderr.take() {
            readers.push(read(stderr, &output));
        }
        let input = child.stdin.take();
        Ok(Self { name: name.into(), child, input, output, readers })
    }

    /// Writes a line to its input.
    ///
    /// # Errors
    /// It has no input, or does not read it any more.
    pub fn tell(&mut self, line: &str) -> Result<()> {
        let input = self.input.as_mut().with_context(|| format!("{} has no input", self.name))?;
        writeln!(input, "{line}").with_context(|| format!("tell {} {line:?}", self.name))
    }

    /// Process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// All lines so far.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.output.lines().clone()
    }

    /// The number of lines so far, to wait for what comes after.
    #[must_use]
    pub fn mark(&self) -> usize {
        self.output.lines().len()
    }

    /// Waits until a line contains `text`, and returns it.
    ///
    /// # Errors
    /// None did within `patience`, or the program ended first.
    pub fn wait_for_line(&mut self, text: &str, patience: Duration) -> Result<String> {
        self.wait_for_line_after(0, text, patience)
    }

    /// As [`Self::wait_for_line`], among the lines after `mark`.
    ///
    /// # Errors
    /// None did within `patience`, or the program ended first.
    pub fn wait_for_line_after(&mut self, mark: usize, text: &str, patience: Duration) -> Result<String> {
        let deadline = Instant::now() + patience;
        loop {
            // Asked before looking, so that a line written just before the end is still seen.
            let ended = self.child.try_wait()?.is_some() && self.readers.iter().all(thread::JoinHandle::is_finished);
            let lines = self.output.lines();
            if let Some(line) = lines.iter().skip(mark).find(|line| line.contains(text)) {
                return Ok(line.clone());
            }
            if ended || Instant::now() >= deadline {
                drop(lines);
                let why = if ended { "it ended" } else { "too late" };
                bail!("{} did not say {text:?} ({why}, {patience:?})\n{self}", self.name);
            }
            drop(self.output.grown.wait_timeout(lines, LOOK));
        }
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// It did not end within `patience`; it is killed then.
    pub fn wait(mut self, patience: Duration) -> Result<Ended> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(status) = self.child.try_wait()? {
                for reader in self.readers.drain(..) {
                    // A reader only fails by a panic of its own; its lines are lost then, and the assertions notice.
                    drop(reader.join());
                }
                return Ok(Ended { status, lines: self.lines() });
            }
            if Instant::now() >= deadline {
                bail!("{} did not end within {patience:?}\n{self}", self.name);
            }
            thread::park_timeout(LOOK);
        }
    }

    /// Asks it to end politely (SIGTERM), without waiting.
    ///
    /// # Errors
    /// The signal cannot be sent.
    pub fn terminate(&self) -> Result<()> {
        self.signal("TERM")
    }

    /// Asks it to read its configuration again (SIGHUP).
    ///
    /// # Errors
    /// The signal cannot be sent.
    pub fn hang_up(&self) -> Result<()> {
        self.signal("HUP")
    }

    fn signal(&self, name: &str) -> Result<()> {
        let kill = Command::new("kill").args(["-s", name, &self.id().to_string()]).status();
        let status = kill.context("run kill (procps)")?;
        if !status.success() {
            bail!("kill -s {name} {}: {status}", self.id());
        }
        Ok(())
    }

    /// Whether it still runs.
    ///
    /// # Errors
    /// The system does not tell.
    pub fn running(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "--- last lines of {}", self.name)?;
        let lines = self.output.lines();
        lines.iter().skip(lines.len().saturating_sub(TAIL)).try_for_each(|line| writeln!(f, "    {line}"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill, and the status is collected all the same.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn read(from: impl Read + Send + 'static, into: &Arc<Output>) -> thread::JoinHandle<()> {
    let output = Arc::clone(into);
    thread::spawn(move || {
        let mut reader = BufReader::new(from);
        let mut line = Vec::new();
        while matches!(reader.read_until(b'\n', &mut line), Ok(1..)) {
            output.lines().push(String::from_utf8_lossy(&line).trim_end().to_owned());
            output.grown.notify_all();
            line.clear();
        }
        output.grown.notify_all();
    })
}

/// What to say when a program is not there: a test that cannot run must not pass.
fn missing(program: &OsStr) -> String {
    let name = program.to_string_lossy();
    match &*name {
        "sipp" => "sipp cannot be started: install Debian's sip-tester (`make test` does)".into(),
        "baresip" => "baresip cannot be started: install Debian's baresip-core (`make test` does)".into(),
        "linphonec" => "linphonec cannot be started: install Debian's linphone-cli (`make test` does)".into(),
        "kamailio" => {
            "kamailio cannot be started: install Debian's kamailio and kamailio-tls-modules (`make test` does)".into()
        }
        "dnsmasq" => "dnsmasq cannot be started: install Debian's dnsmasq-base (`make test` does)".into(),
        _ => format!("{name} cannot be started"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Process {
        Process::start("sh", Command::new("sh").args(["-c", script])).unwrap()
    }

    #[test]
    fn a_line_is_awaited_and_the_end_is_noticed() {
        let mut process = shell("echo one; echo two >&2; exit 3");
        assert_eq!(process.wait_for_line("tw", Duration::from_secs(5)).unwrap(), "two");
        let error = process.wait_for_line("three", Duration::from_secs(5)).unwrap_err();
        assert!(error.to_string().contains("it ended"), "{error}");
        assert_eq!(process.wait(Duration::from_secs(5)).unwrap().status.code(), Some(3));
    }

    #[test]
    fn a_line_is_told() {
        let mut process = Process::start_with_input("cat", &mut Command::new("cat")).unwrap();
        process.tell("hello").unwrap();
        assert_eq!(process.wait_for_line("hell", Duration::from_secs(5)).unwrap(), "hello");
        assert!(shell("exec cat").tell("hello").is_err(), "no input");
    }

    #[test]
    fn patience_ends() {
        let mut process = shell("exec sleep 30");
        let error = process.wait_for_line("never", Duration::from_millis(60)).unwrap_err();
        assert!(error.to_string().contains("too late"), "{error}");
        process.terminate().unwrap();
        assert_eq!(process.wait(Duration::from_secs(5)).unwrap().status.code(), None, "ended by a signal");
    }

    #[test]
    fn a_missing_program_says_what_to_install() {
        let error = Process::start("x", &mut Command::new("no-such-program-here")).unwrap_err();
        assert!(error.to_string().contains("no-such-program-here"), "{error}");
    }
}
