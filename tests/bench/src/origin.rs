//! Where figures come from: a machine, a day and a commit.
//!
//! On std alone: the benches of `media` have it too (`#[path]`), which has none of this program's dependencies.
use std::{
    fmt::{self, Display, Formatter},
    fs,
    io::Result,
    path::Path,
    process::Command,
    thread,
};

/// What was measured on.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    pub(crate) cpu: String,
    pub(crate) cores: usize,
    pub(crate) memory_gib: f64,
    pub(crate) kernel: String,
}

impl Machine {
    /// From /proc.
    pub(crate) fn look() -> Result<Self> {
        let field = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
            line.split_once(':').map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
        };
        let (cpuinfo, meminfo) = (fs::read_to_string("/proc/cpuinfo")?, fs::read_to_string("/proc/meminfo")?);
        let total: f64 = field(&meminfo, "MemTotal").trim_end_matches(" kB").parse().unwrap_or_default();
        let mhz: f64 = field(&cpuinfo, "cpu MHz").parse().unwrap_or_default();
        let version = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let virtual_machine = if field(&cpuinfo, "flags").contains("hypervisor") { ", virtual machine" } else { "" };
        Ok(Self {
            cpu: format!("{} at {:.1} GHz{virtual_machine}", field(&cpuinfo, "model name"), mhz / 1_000.0),
            cores: thread::available_parallelism().map_or(1, usize::from),
            memory_gib: (total / 1_048_576.0 * 10.0).round() / 10.0,
            kernel: format!("Linux {}", version.split('-').next().unwrap_or_default().trim()),
        })
    }
}

impl Display for Machine {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { cpu, cores, memory_gib, kernel } = self;
        write!(f, "{cpu}; {cores} cores, {memory_gib} GiB; {kernel}")
    }
}

/// The day, and the commit of the tree at `root` if Git tells; "dirty" when the tree is not what was committed. Asked
/// before anything is written, for pages are part of the tree.
pub(crate) fn when(root: &Path) -> String {
    let said = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).current_dir(root).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let day = said("date", &["-u", "+%Y-%m-%d"]).unwrap_or_default();
    match said("git", &["describe", "--always", "--dirty", "--exclude", "*"]) {
        Some(commit) => format!("{day} at commit {commit}"),
        None => day,
    }
}
