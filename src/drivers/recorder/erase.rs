//! Recordings that are to be kept no longer: from the disk, and from the store.
use super::{folder, upload::Store};
use crate::{config, record::Recording};
use anyhow::{Context, ensure};
use std::{fs, io, path::Path, path::PathBuf};
use uuid::Uuid;

/// Deletes files of recordings. Its methods wait for disk and network.
#[derive(Debug)]
pub struct Eraser {
    directory: PathBuf,
    store: Option<Store>,
}

impl Eraser {
    /// For the folder of this configuration, and its store if it has one.
    ///
    /// # Errors
    /// The store's address is none.
    pub fn new(config: &config::Recording) -> anyhow::Result<Self> {
        let store = config.s3.clone().map(|s3| Store::new(config, s3)).transpose()?;
        Ok(Self { directory: config.directory.clone(), store })
    }

    /// Deletes what there is of the recording of a conversation; what is not there is as good as deleted.
    ///
    /// # Errors
    /// Something is left of it.
    pub fn erase(&self, conversation: Uuid, recording: &Recording) -> anyhow::Result<()> {
        let Some(path) = &recording.path else { return Ok(()) };
        // It comes from a database that others write to.
        ensure!(folder::is_ours(path), "{path:?} leads out of the folder of recordings");
        // What is listed is sent to the store.
        remove(&folder::entry(&self.directory, conversation))?;
        if let Some(url) = &recording.store {
            let store =
                self.store.as_ref().with_context(|| format!("it is in {url}, and [recording] names no store"))?;
            store.delete(url, path)?;
        }
        let whole = self.directory.join(path);
        remove(&folder::part(&whole))?;
        remove(&whole)
    }
}

fn remove(file: &Path) -> anyhow::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).with_context(|| file.display().to_string()),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::Environment, record::State};
    use std::time::Duration;

    fn recording(path: &str, store: Option<&str>) -> Recording {
        Recording {
            state: State::Complete,
            path: Some(path.to_owned()),
            duration: Duration::ZERO,
            bytes: None,
            sha256: None,
            key_id: None,
            store: store.map(str::to_owned),
            pauses: Vec::new(),
            gaps: Vec::new(),
            problem: None,
        }
    }

    #[test]
    fn a_file_is_deleted_and_nothing_outside_its_folder() {
        let folder = std::env::temp_dir().join(format!("ramal-erase-{}", Uuid::new_v4()));
        fs::create_dir_all(folder.join("r/d/2026")).unwrap();
        let text = format!("[recording]\ndirectory = \"{}/r\"\n", folder.display());
        let config = config::Config::parse(&text, "test", &Environment::new()).unwrap();
        let eraser = Eraser::new(&config.recording).unwrap();
        let conversation = Uuid::new_v4();
        folder::list(&folder.join("r"), conversation, "d/2026/a.wav").unwrap();
        let files = ["r/d/2026/a.wav", "r/d/2026/b.wav", "outside.wav"].map(|file| folder.join(file));
        files.iter().for_each(|file| fs::write(file, "x").unwrap());
        eraser.erase(conversation, &recording("d/2026/a.wav", None)).unwrap();
        eraser.erase(conversation, &recording("d/2026/a.wav", None)).unwrap();
        assert_eq!(files.clone().map(|file| file.exists()), [false, true, true]);
        assert!(
            folder::closed(&folder.join("r")).is_empty() && !folder::entry(&folder.join("r"), conversation).exists()
        );
        let outside = files[2].display().to_string();
        for path in ["../outside.wav", outside.as_str(), ""] {
            assert!(eraser.erase(conversation, &recording(path, None)).is_err(), "{path}");
        }
        let elsewhere =
            eraser.erase(conversation, &recording("d/2026/b.wav", Some("s3://b/d/2026/b.wav"))).unwrap_err();
        assert!(elsewhere.to_string().contains("names no store"), "{elsewhere}");
        assert!(files[1].exists() && files[2].exists(), "what is left in a store is not forgotten here");
        fs::remove_dir_all(folder).unwrap();
    }
}
