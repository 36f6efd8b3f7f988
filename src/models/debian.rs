//! RHVoice from Debian's packages, without root and without installing: `apt-get` tells where the packages and the libraries
//! they need are, `dpkg-deb` unpacks them below the models folder.
//!
//! The voice is in the non-free component, which few machines have enabled, so a copy of the machine's own sources with that
//! component is used, with package lists of our own. The system's configuration is not touched.
use super::{catalogue::RHVOICE, client, digest, download};
use crate::speech;
use anyhow::{Context, bail};
use indicatif::ProgressBar;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// What is asked for; the rest are their dependencies.
const WANTED: [&str; 2] = ["rhvoice", "rhvoice-brazilian-portuguese"];
const COMPONENTS: &str = "main non-free";

/// A package that `apt-get` would install.
#[derive(Debug, PartialEq, Eq)]
struct Offer {
    url: String,
    file: String,
    sha256: String,
}

/// Fetches and unpacks RHVoice and its Portuguese voice below `dir`; archives wait in `work`.
///
/// # Errors
/// Not a Debian machine, other packages than the pinned ones, or no network.
pub(super) fn fetch(dir: &Path, work: &Path, progress: &ProgressBar) -> anyhow::Result<()> {
    let apt = work.join("apt");
    let sources = apt.join("sources");
    for folder in ["lists/partial", "cache/archives/partial", "sources"] {
        fs::create_dir_all(apt.join(folder))?;
    }
    copy_sources(&sources)?;
    progress.set_message("asking apt-get");
    client::run(apt_get(&apt).args(["update", "--quiet"]))?;
    let printed =
        client::run(apt_get(&apt).args(["install", "-qq", "--no-install-recommends", "--print-uris"]).args(WANTED))?;
    let offers: Vec<Offer> = printed.lines().filter_map(offer).collect();
    for package in RHVOICE {
        check_pin(package.name, package.sha256, &offers)?;
    }
    let mut packages = Vec::new();
    for offer in &offers {
        progress.set_message(offer.file.clone());
        let path = work.join(&offer.file);
        download::fetch(&offer.url, &path, progress)?;
        let hash = digest::of_file(&path)?;
        if hash != offer.sha256 {
            fs::remove_file(&path)?;
            bail!("SHA-256 mismatch for {}: got {hash}, want {}; nothing is kept", offer.file, offer.sha256);
        }
        packages.push(path);
    }
    unpack(&packages, dir, work)
}

fn check_pin(name: &str, pin: &str, offers: &[Offer]) -> anyhow::Result<()> {
    let prefix = format!("{name}_");
    let Some(offer) = offers.iter().find(|offer| offer.file.starts_with(&prefix)) else {
        bail!(
            "apt-get offers no package {name}: it is installed in the system without the rest, or this is not Debian"
        );
    };
    if offer.sha256 != pin {
        bail!("{} has SHA-256 {}, not the pinned {pin} (of Debian 12 on amd64)", offer.file, offer.sha256);
    }
    Ok(())
}

fn unpack(packages: &[PathBuf], dir: &Path, work: &Path) -> anyhow::Result<()> {
    let fresh = work.join("rhvoice");
    if fresh.exists() {
        fs::remove_dir_all(&fresh)?;
    }
    for package in packages {
        client::run(Command::new("dpkg-deb").arg("--extract").arg(package).arg(&fresh))?;
    }
    let target = dir.join(speech::RHVOICE_ROOT);
    fs::create_dir_all(target.parent().context("a folder below the models folder")?)?;
    if target.exists() {
        fs::remove_dir_all(&target)?;
    }
    Ok(fs::rename(&fresh, &target)?)
}

/// `apt-get` with lists, caches and sources of our own, and SHA-256 of what it offers.
fn apt_get(apt: &Path) -> Command {
    let mut command = Command::new("apt-get");
    let option = |name: &str, folder: &str| format!("{name}={}", apt.join(folder).display());
    command.args(["-o", "Dir::Etc::SourceList=/dev/null", "-o", &option("Dir::Etc::SourceParts", "sources")]);
    command.args(["-o", &option("Dir::State::Lists", "lists"), "-o", &option("Dir::Cache", "cache")]);
    command.args(["-o", "Debug::NoLocking=1", "-o", "APT::Sandbox::User=", "-o", "Acquire::ForceHash=SHA256"]);
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}

/// Copies the machine's Debian sources with the component we need.
fn copy_sources(to: &Path) -> anyhow::Result<()> {
    let parts = fs::read_dir("/etc/apt/sources.list.d").map(|entries| entries.flatten().map(|entry| entry.path()));
    let files = std::iter::once(PathBuf::from("/etc/apt/sources.list")).chain(parts.into_iter().flatten());
    let mut copied = 0;
    for (n, file) in files.enumerate() {
        let Ok(text) = fs::read_to_string(&file) else { continue };
        let (widened, ending) = match file.extension().and_then(|ending| ending.to_str()) {
            Some("list") => (widen_lines(&text), "list"),
            Some("sources") => (widen_stanzas(&text), "sources"),
            Some(_) | None => continue,
        };
        if !widened.is_empty() {
            fs::write(to.join(format!("ramal-{n}.{ending}")), widened)?;
            copied += 1;
        }
    }
    if copied == 0 { bail!("this machine has no sources of Debian packages") } else { Ok(()) }
}

/// Whether a URI is one of a Debian archive (`…/debian`, `…/debian-security`), not of some vendor.
fn is_debian(uri: &str) -> bool {
    let last = uri.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    uri.contains("://") && (last == "debian" || last == "debian-security")
}

/// One-line sources: `deb [options] URI suite component…`.
fn widen_lines(text: &str) -> String {
    let lines = text.lines().filter(|line| line.starts_with("deb ")).filter_map(|line| {
        let uri = line.split_whitespace().find(|word| is_debian(word))?;
        let (before, after) = line.split_once(uri)?;
        let suite = after.split_whitespace().next()?;
        Some(format!("{before}{uri} {suite} {COMPONENTS}\n"))
    });
    lines.collect()
}

/// deb822 sources: stanzas with `URIs:` and `Components:`.
fn widen_stanzas(text: &str) -> String {
    let stanzas = text.split("\n\n").filter(|stanza| {
        stanza.lines().any(|line| line.strip_prefix("URIs:").is_some_and(|uris| uris.split_whitespace().any(is_debian)))
    });
    let widened = stanzas.map(|stanza| {
        let lines = stanza.lines().filter(|line| !line.starts_with('#')).map(|line| match line.split_once(':') {
            Some(("Components", _)) => format!("Components: {COMPONENTS}"),
            Some(_) | None => line.to_owned(),
        });
        lines.collect::<Vec<_>>().join("\n") + "\n\n"
    });
    widened.collect()
}

/// A line of `--print-uris`: `'URL' file size SHA256:hash`.
fn offer(line: &str) -> Option<Offer> {
    let (url, rest) = line.strip_prefix('\'')?.split_once('\'')?;
    let mut words = rest.split_whitespace();
    let (file, _size, hash) = (words.next()?, words.next()?, words.next()?);
    if file.contains('/') {
        return None;
    }
    Some(Offer { url: url.to_owned(), file: file.to_owned(), sha256: hash.strip_prefix("SHA256:")?.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_debian_sources_are_widened() {
        let lines = "deb http://mirror.example/debian bookworm main contrib\n# deb http://x.example/debian a main\n\
                     deb [arch=amd64] https://vendor.example/apt stable main\ndeb-src http://mirror.example/debian b main\n";
        assert_eq!(widen_lines(lines), "deb http://mirror.example/debian bookworm main non-free\n");
        let stanzas = "Types: deb\n# a comment\nURIs: http://mirror.example/debian/\nSuites: bookworm\nComponents: main\n\
                       Signed-By: /k.gpg\n\nTypes: deb\nURIs: https://vendor.example/node_20.x\nComponents: main\n";
        let want = "Types: deb\nURIs: http://mirror.example/debian/\nSuites: bookworm\nComponents: main non-free\n\
                    Signed-By: /k.gpg\n\n";
        assert_eq!(widen_stanzas(stanzas), want);
    }

    #[test]
    fn offers_are_read_and_pins_checked() {
        let line = "'http://mirror.example/pool/r/rhvoice_1.8.0%2bdfsg-3_amd64.deb' rhvoice_1.8.0+dfsg-3_amd64.deb 170244 SHA256:58d8";
        let offer = offer(line).unwrap();
        assert_eq!(offer.file, "rhvoice_1.8.0+dfsg-3_amd64.deb");
        assert!(check_pin("rhvoice", "58d8", std::slice::from_ref(&offer)).is_ok());
        assert!(check_pin("rhvoice", "0000", std::slice::from_ref(&offer)).unwrap_err().to_string().contains("pinned"));
        assert!(check_pin("rhvoice-brazilian-portuguese", "58d8", &[offer]).is_err());
        for odd in ["", "E: no", "'http://x' ../../etc/passwd 1 SHA256:00", "'http://x' a.deb 1 MD5Sum:00"] {
            assert_eq!(super::offer(odd), None, "{odd}");
        }
    }
}
