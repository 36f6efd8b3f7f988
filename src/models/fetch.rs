//! `ramal models fetch`.
use super::{
    catalogue::{MODELS, Model, Wanted},
    client::Archive,
    debian, digest, download, install,
};
use crate::speech;
use anyhow::bail;
use indicatif::{ProgressBar, ProgressStyle};
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

/// RHVoice in the list of models.
pub(super) const RHVOICE: &str = speech::RHVOICE_ROOT;
pub(super) const RHVOICE_PURPOSE: &str = "voice: RHVoice Letícia, Portuguese (CC BY-SA 4.0; program GPL 3+)";
/// Archives wait here, below the models folder, until the models are out of them.
const WORK: &str = ".fetch";

/// Fetches what `filters` name, or what is wanted by default; goes on after a failure, and tells all of them.
///
/// # Errors
/// Something could not be fetched, or a filter names nothing.
pub(super) fn run(dir: &Path, filters: &[String]) -> anyhow::Result<()> {
    let named = |file: &str| filters.iter().any(|filter| file.contains(filter.as_str()));
    let chosen = |model: &&Model| match model.wanted {
        Wanted::ByDefault if filters.is_empty() => true,
        Wanted::ByDefault | Wanted::WhenNamed => named(model.file),
    };
    let models: Vec<_> = MODELS.iter().filter(chosen).collect();
    let rhvoice = filters.is_empty() || named(RHVOICE);
    if models.is_empty() && !rhvoice {
        bail!("nothing is called {}; `ramal models list` shows what there is", filters.join(" or "));
    }
    let work = dir.join(WORK);
    fs::create_dir_all(&work)?;
    let mut failed = Vec::new();
    for model in models {
        tell(model.file, fetch_model(model, dir, &work), &mut failed);
    }
    if rhvoice {
        tell(RHVOICE, fetch_rhvoice(dir, &work), &mut failed);
    }
    if !failed.is_empty() {
        bail!("not fetched: {}; what arrived is kept, so run it again", failed.join(", "));
    }
    Ok(fs::remove_dir_all(&work)?)
}

/// Whether something had to be done.
enum Done {
    Had,
    Fetched,
}

fn tell(file: &str, done: anyhow::Result<Done>, failed: &mut Vec<String>) {
    match done {
        Ok(Done::Had) => println!("have    {file}"),
        Ok(Done::Fetched) => println!("fetched {file}"),
        Err(error) => {
            println!("FAILED  {file}: {error:#}");
            failed.push(file.to_owned());
        }
    }
}

fn fetch_model(model: &Model, dir: &Path, work: &Path) -> anyhow::Result<Done> {
    if digest::of_file(&dir.join(model.file)).is_ok_and(|hash| hash == model.sha256) {
        return Ok(Done::Had);
    }
    let archives = install::archives(model);
    let paths: Vec<_> = archives.iter().map(|archive| fetch_archive(*archive, work)).collect::<Result<_, _>>()?;
    let installed = install::install(model, &paths, dir);
    if installed.is_err() {
        // A broken archive would be found again by the next run.
        for path in &paths {
            fs::remove_file(path)?;
        }
    }
    installed.map(|()| Done::Fetched)
}

fn fetch_archive(archive: Archive, work: &Path) -> anyhow::Result<PathBuf> {
    let name = archive.file_name();
    let path = work.join(&name);
    if path.is_file() {
        return Ok(path);
    }
    let progress = bar(&name);
    let direct = archive.url().and_then(|url| download::fetch(&url, &path, &progress));
    let Err(error) = direct else { return Ok(path) };
    progress.println(format!("{name}: {error:#}; letting the registry's client fetch it"));
    let folder = work.join("client");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    let downloaded = archive.download(&folder)?;
    fs::rename(downloaded, &path)?;
    Ok(path)
}

fn fetch_rhvoice(dir: &Path, work: &Path) -> anyhow::Result<Done> {
    if speech::speaks_portuguese(dir) {
        return Ok(Done::Had);
    }
    debian::fetch(dir, work, &bar(RHVOICE))?;
    // The libraries it needs may be others' than apt-get believed; one sentence tells.
    speech::say_with(dir, "Teste.", "pt-BR")?;
    Ok(Done::Fetched)
}

fn bar(name: &str) -> ProgressBar {
    let template = "{prefix} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta} {msg}";
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new(0).with_style(style).with_prefix(name.to_owned());
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
