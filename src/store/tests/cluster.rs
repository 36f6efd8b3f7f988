//! A PostgreSQL server of the tests' own: made in a temporary directory, on a Unix socket, gone with its last test.
use sqlx::{Connection, PgConnection};
use std::{
    os::unix::fs::{MetadataExt, chown},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, Mutex, PoisonError, Weak},
};
use uuid::Uuid;

pub(super) struct Cluster {
    directory: PathBuf,
    binaries: PathBuf,
}

/// The server of all tests that run at this moment. `None`, said aloud, where PostgreSQL is not installed.
pub(super) fn shared() -> Option<Arc<Cluster>> {
    static RUNNING: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());
    let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(cluster) = running.upgrade() {
        return Some(cluster);
    }
    let Some(binaries) = binaries() else {
        let missing = "no PostgreSQL server in /usr/lib/postgresql/*/bin (apt install postgresql)";
        assert!(std::env::var_os("CI").is_none(), "{missing}");
        eprintln!("SKIPPED: {missing}");
        return None;
    };
    let cluster = Arc::new(Cluster::start(binaries));
    *running = Arc::downgrade(&cluster);
    Some(cluster)
}

fn binaries() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    versions.filter_map(|entry| Some(entry.ok()?.path().join("bin"))).filter(|bin| bin.join("initdb").exists()).max()
}

impl Cluster {
    fn start(binaries: PathBuf) -> Self {
        let directory = std::env::temp_dir().join(format!("ramal-pg-{}", Uuid::new_v4()));
        std::fs::create_dir(&directory).unwrap();
        if is_root(&directory) {
            chown(&directory, Some(id("-u")), Some(id("-g"))).unwrap();
        }
        let cluster = Self { directory, binaries };
        cluster.run("initdb", &["-A", "trust", "-U", "postgres", "-N", "-E", "UTF8", "--locale=C", "-D", "data"]);
        let socket = format!("-c listen_addresses='' -c fsync=off -k {}", cluster.directory.display());
        cluster.run("pg_ctl", &["-D", "data", "-w", "-l", "log", "-o", &socket, "start"]);
        cluster
    }

    /// A URL of an empty database.
    pub(super) async fn new_database(&self) -> String {
        let name = format!("t{}", Uuid::new_v4().simple());
        let mut connection = PgConnection::connect(&self.url("postgres")).await.unwrap();
        let create = sqlx::AssertSqlSafe(format!("create database {name}"));
        sqlx::raw_sql(create).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        self.url(&name)
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://postgres@localhost/{database}?host={}", self.directory.display())
    }

    /// PostgreSQL refuses to run as root, so it runs as the user Debian makes for it.
    fn run(&self, program: &str, arguments: &[&str]) {
        let program = self.binaries.join(program);
        let mut command = Command::new("runuser");
        if std::fs::metadata(&self.directory).unwrap().uid() == id_of_us() {
            command = Command::new(program);
        } else {
            command.args(["-u", "postgres", "--"]).arg(program);
        }
        let output = command
            .args(arguments)
            .current_dir(&self.directory)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert!(output.success(), "{arguments:?} in {}", self.directory.display());
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.run("pg_ctl", &["-D", "data", "-m", "immediate", "stop"]);
        // A directory that stays is litter, not a failure.
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn is_root(ours: &Path) -> bool {
    std::fs::metadata(ours).unwrap().uid() == 0
}

fn id_of_us() -> u32 {
    std::fs::metadata("/proc/self").unwrap().uid()
}

fn id(which: &str) -> u32 {
    let output = Command::new("id").args([which, "postgres"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}
