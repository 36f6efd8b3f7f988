//! What the server leans on: a PostgreSQL and a Redis of our own, which are killed and started again. Both listen on loopback
//! alone, and end when this process does, however it does.
use anyhow::{Context, Result, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    env,
    fs::{self, File, Permissions},
    net::TcpListener,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::{Path, PathBuf},
    process::{self, Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// How long one may take to start, and to end.
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(10);
/// What folders of this kind are called; the number of their process follows, and what they are for.
const NAME: &str = "ramal-faults-";
/// The database.
const DATABASE: &str = "ramal";

/// A folder for what is killed, gone with us. What runs left that were killed themselves goes with it.
#[derive(Debug)]
pub(super) struct Scratch(pub(super) PathBuf);

impl Scratch {
    /// A folder that everybody may look into: PostgreSQL runs as a user of its own.
    pub(super) fn new(what: &str) -> Result<Self> {
        let above = env::temp_dir();
        for entry in fs::read_dir(&above)?.flatten() {
            let name = entry.file_name();
            let process = name.to_str().and_then(|name| name.strip_prefix(NAME)?.split('-').next());
            if process.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
                // Somebody else's, perhaps, and then not ours to delete.
                let _ = fs::remove_dir_all(entry.path());
            }
        }
        let folder = above.join(format!("{NAME}{}-{what}", process::id()));
        fs::create_dir(&folder).with_context(|| format!("create {}", folder.display()))?;
        fs::set_permissions(&folder, Permissions::from_mode(0o755))?;
        Ok(Self(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A folder that stays is litter, which the next run takes away.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A PostgreSQL server.
#[derive(Debug)]
pub(super) struct Postgres {
    binaries: PathBuf,
    folder: PathBuf,
    is_root: bool,
    port: u16,
    child: Option<Child>,
}

impl Postgres {
    /// Makes a cluster with an empty database, and starts it.
    pub(super) fn new(scratch: &Path) -> Result<Self> {
        let binaries =
            binaries().context("no PostgreSQL server in /usr/lib/postgresql/*/bin (apt install postgresql)")?;
        let folder = scratch.join("postgres");
        fs::create_dir(&folder)?;
        let is_root = fs::metadata("/proc/self")?.uid() == 0;
        if is_root {
            chown(&folder, Some(id("-u")?), Some(id("-g")?))?;
        }
        let mut postgres = Self { binaries, folder, is_root, port: free_port()?, child: None };
        let mut command = postgres.command("initdb");
        command.args(["-A", "trust", "-U", "postgres", "-N", "-E", "UTF8", "--locale=C", "-D", "data"]);
        said(&mut command, "initdb")?;
        postgres.start()?;
        let (began, create) = (Instant::now(), format!("create database {DATABASE}"));
        while let Err(error) = postgres.tell("postgres", &create) {
            ensure!(began.elapsed() < PATIENCE, "PostgreSQL does not start: {error:#}\n{}", postgres.last_words());
            thread::sleep(LOOK);
        }
        Ok(postgres)
    }

    /// Where the server finds it.
    pub(super) fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{DATABASE}", self.port)
    }

    /// Starts it, again too, and does not wait until it is there.
    pub(super) fn start(&mut self) -> Result<()> {
        let log = File::options().create(true).append(true).open(self.log())?;
        let mut command = self.command("postgres");
        command.args(["-D", "data", "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-p"]);
        command.arg(self.port.to_string()).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.child = Some(command.spawn().context("postgres")?);
        Ok(())
    }

    /// Ends it as `pg_ctl stop -m immediate` does: at once, with nothing tidied up. It recovers when it is started again.
    pub(super) fn kill(&mut self) -> Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        kill(Pid::from_raw(i32::try_from(child.id())?), Signal::SIGQUIT).context("SIGQUIT")?;
        wait(&mut child)
    }

    /// What a question of one row and column gives.
    pub(super) fn ask(&self, question: &str) -> Result<String> {
        self.tell(DATABASE, question)
    }

    fn tell(&self, database: &str, statement: &str) -> Result<String> {
        let mut command = Command::new(self.binaries.join("psql"));
        command.args(["-X", "-q", "-A", "-t", "-h", "127.0.0.1", "-U", "postgres", "-d", database, "-p"]);
        command.arg(self.port.to_string()).args(["-c", statement]).env("PGCONNECT_TIMEOUT", "5");
        said(&mut command, "psql")
    }

    /// PostgreSQL refuses to run as root, so there it runs as the user Debian makes for it.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("setpriv");
        if self.is_root {
            command.args(["--reuid", "postgres", "--regid", "postgres", "--init-groups"]);
        }
        command.args(["--pdeathsig", "QUIT", "--"]).arg(self.binaries.join(program)).current_dir(&self.folder);
        command
    }

    fn log(&self) -> PathBuf {
        self.folder.join("log")
    }

    fn last_words(&self) -> String {
        let text = fs::read_to_string(self.log()).unwrap_or_default();
        text.lines().last().unwrap_or_default().to_owned()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // It is gone already, or it goes with its parent.
        let _ = self.kill();
    }
}

/// A Redis server that keeps nothing on disk.
#[derive(Debug)]
pub(super) struct Redis {
    folder: PathBuf,
    port: u16,
    child: Option<Child>,
}

impl Redis {
    /// Starts one, and waits until it answers.
    pub(super) fn new(scratch: &Path) -> Result<Self> {
        let mut redis = Self { folder: scratch.to_owned(), port: free_port()?, child: None };
        redis.start()?;
        let began = Instant::now();
        while let Err(error) = redis.ask("return 0") {
            ensure!(began.elapsed() < PATIENCE, "Redis does not start: {error:#}");
            thread::sleep(LOOK);
        }
        Ok(redis)
    }

    /// Where the server finds it.
    pub(super) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Starts it, again too, and does not wait until it is there.
    pub(super) fn start(&mut self) -> Result<()> {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--", "redis-server", "--bind", "127.0.0.1", "--save", "", "--port"]);
        command.arg(self.port.to_string()).current_dir(&self.folder).stdin(Stdio::null()).stdout(Stdio::null());
        self.child = Some(command.spawn().context("redis-server")?);
        Ok(())
    }

    /// SIGKILL.
    pub(super) fn kill(&mut self) -> Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        child.kill().and_then(|()| child.wait()).context("SIGKILL")?;
        Ok(())
    }

    /// How many calls it counts.
    pub(super) fn leases(&self) -> Result<u64> {
        let count = "local count = 0 for _, key in ipairs(redis.call('KEYS', '{ramal}:calls:*')) do \
            count = count + redis.call('ZCARD', key) end return count";
        let count = self.ask(count)?;
        count.parse().with_context(|| format!("Redis counts {count:?}"))
    }

    fn ask(&self, script: &str) -> Result<String> {
        let mut command = Command::new("redis-cli");
        command.args(["-h", "127.0.0.1", "-p"]).arg(self.port.to_string()).args(["--raw", "eval", script, "0"]);
        said(&mut command, "redis-cli")
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // It is gone already, or it goes with its parent.
        let _ = self.kill();
    }
}

/// The newest version that is installed.
fn binaries() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?.flatten();
    versions.map(|entry| entry.path().join("bin")).filter(|bin| bin.join("initdb").exists()).max()
}

fn id(which: &str) -> Result<u32> {
    let id = said(Command::new("id").args([which, "postgres"]), "id")?;
    id.parse().with_context(|| format!("the user of PostgreSQL: {id:?}"))
}

/// Nobody has it at this moment, and there is nobody here who would take it.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0").context("a port")?.local_addr()?.port())
}

fn said(command: &mut Command, name: &str) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| name.to_owned())?;
    ensure!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Until it is gone, or has to be killed.
fn wait(child: &mut Child) -> Result<()> {
    let began = Instant::now();
    while child.try_wait()?.is_none() {
        if began.elapsed() > PATIENCE {
            child.kill()?;
        }
        thread::sleep(LOOK);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Said aloud where they are not.
    fn are_installed() -> bool {
        let redis = Command::new("redis-server").arg("--version").stdout(Stdio::null()).status();
        let installed = binaries().is_some() && redis.is_ok_and(|status| status.success());
        assert!(installed || env::var_os("CI").is_none(), "no PostgreSQL or no Redis (scripts/install.sh test)");
        installed
    }

    #[test]
    fn what_is_killed_is_gone_and_comes_back() {
        if !are_installed() {
            eprintln!("SKIPPED: no PostgreSQL or no Redis (scripts/install.sh test)");
            return;
        }
        let scratch = Scratch::new("services").unwrap();
        let (mut postgres, mut redis) = (Postgres::new(&scratch.0).unwrap(), Redis::new(&scratch.0).unwrap());
        postgres.ask("create table kept (x int)").unwrap();
        postgres.ask("insert into kept values (7)").unwrap();
        redis.ask("return redis.call('ZADD', '{ramal}:calls:domain:x', 1, 'one')").unwrap();
        assert_eq!(redis.leases().unwrap(), 1);
        postgres.kill().unwrap();
        redis.kill().unwrap();
        assert!(postgres.ask("select 1").is_err() && redis.leases().is_err());
        postgres.start().unwrap();
        redis.start().unwrap();
        let began = Instant::now();
        while (postgres.ask("select x from kept").ok(), redis.leases().ok()) != (Some("7".into()), Some(0)) {
            assert!(began.elapsed() < PATIENCE, "{}", postgres.last_words());
            thread::sleep(LOOK);
        }
    }
}
