//! Recordings that are to be kept no longer: from the disk, and from the store.
use super::{corrections, days, folder, upload::Store};
use crate::{config, record::Recording};
use anyhow::{Context, bail, ensure};
use chrono::{DateTime, NaiveDate, Utc};
use std::{fs, io, path::Path, path::PathBuf};
use uuid::Uuid;

/// Deletes files of recordings. Its methods wait for disk and network.
#[derive(Debug)]
pub struct Eraser {
    directory: PathBuf,
    /// Which server's folder that is.
    node: String,
    store: Option<Store>,
}

impl Eraser {
    /// For the folder of this configuration, and its store if it has one.
    ///
    /// # Errors
    /// The store's address is none.
    pub fn new(config: &config::Recording) -> anyhow::Result<Self> {
        let store = config.s3.clone().map(|s3| Store::new(config, s3)).transpose()?;
        Ok(Self { directory: config.directory.clone(), node: config.node.clone(), store })
    }

    /// The server on whose disk a recording is, if that is another.
    pub fn elsewhere<'a>(&self, recording: &'a Recording) -> Option<&'a str> {
        recording.path.as_ref().and(recording.node.as_deref()).filter(|node| *node != self.node)
    }

    /// Whether a recording is in a store that did not answer a moment ago, so that nothing would come of deleting it.
    pub fn has_to_wait(&self, recording: &Recording) -> bool {
        recording.store.is_some() && self.store.as_ref().is_some_and(Store::is_away)
    }

    /// Deletes what there is of the recording of a conversation.
    ///
    /// # Errors
    /// Something is left of it, or nobody can tell.
    pub fn erase(&self, domain: Uuid, conversation: Uuid, recording: &Recording) -> anyhow::Result<()> {
        let Some(path) = &recording.path else { return Ok(()) };
        // It comes from a database that others write to.
        let own = recording.is_of(domain, conversation);
        ensure!(own, "{path:?} is not in the folder of its tenant, or that of another conversation");
        if let Some(node) = self.elsewhere(recording) {
            bail!("it is on the disk of {node}");
        }
        match &recording.node {
            // A file that is not there is gone only where it would be.
            Some(_) => ensure!(
                self.directory.join(domain.to_string()).is_dir(),
                "{} has no folder of this tenant: it is another one, or not mounted",
                self.directory.display()
            ),
            None => ensure!(
                recording.store.is_some() || recording.released.is_some() || self.has(path),
                "{path} is not here, and its row does not say where else"
            ),
        }
        let entry = folder::entry(&self.directory, conversation);
        self.delete(&[entry], recording.store.as_deref(), path)?;
        let conversation = conversation.to_string();
        remove(&corrections::file(&self.directory, &conversation))?;
        remove(&folder::receipt(&self.directory, &conversation))
    }

    /// Days before this one of which a tenant has recordings.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn days(&self, domain: Uuid, before: NaiveDate) -> io::Result<Vec<NaiveDate>> {
        days::days(&self.directory, domain, before)
    }

    /// Paths of the recordings of a day.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn of_day(&self, domain: Uuid, day: NaiveDate) -> io::Result<Vec<String>> {
        days::of_day(&self.directory, domain, day)
    }

    /// Removes the folders of a day that are empty by now.
    pub fn tidy(&self, domain: Uuid, day: NaiveDate) {
        days::tidy(&self.directory, domain, day);
    }

    /// Whether a recording of [`Eraser::of_day`] was written to since then.
    pub fn is_written_since(&self, path: &str, since: DateTime<Utc>) -> bool {
        let whole = self.directory.join(path);
        let written = |file: &Path| fs::metadata(file).and_then(|about| about.modified()).ok();
        let written = [written(&folder::part(&whole)), written(&whole)];
        written.into_iter().flatten().any(|written| DateTime::<Utc>::from(written) >= since)
    }

    /// Deletes a recording of [`Eraser::of_day`] that no row leads to.
    ///
    /// # Errors
    /// Something is left of it.
    pub fn erase_stray(&self, path: &str) -> anyhow::Result<()> {
        let listed = folder::listed(&self.directory).into_iter().filter(|(_, listed)| listed == path);
        let entries: Vec<PathBuf> = listed.map(|(entry, _)| entry).collect();
        let url = self.store.as_ref().map(|store| store.url(path));
        self.delete(&entries, url.as_deref(), path)
    }

    fn has(&self, path: &str) -> bool {
        let whole = self.directory.join(path);
        whole.exists() || folder::part(&whole).exists()
    }

    fn delete(&self, entries: &[PathBuf], url: Option<&str>, path: &str) -> anyhow::Result<()> {
        let whole = self.directory.join(path);
        let part = folder::part(&whole);
        // Whoever writes or sends it has one of them, and would have it appear again.
        let held = entries.iter().chain([&part]).map(|file| folder::hold(file)).collect::<io::Result<Vec<_>>>()?;
        if let Some(url) = url {
            let store =
                self.store.as_ref().with_context(|| format!("it is in {url}, and [recording] names no store"))?;
            store.delete(url, path)?;
        }
        // Not before: what could not be deleted there is still to be sent.
        entries.iter().try_for_each(|entry| remove(entry))?;
        remove(&part)?;
        remove(&whole)?;
        if let Some(opened) = path.strip_suffix(folder::SEALED) {
            // What `ramal record decrypt` made of it.
            remove(&self.directory.join(opened))?;
        }
        drop(held);
        Ok(())
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
    use crate::{config::Environment, drivers::recorder::tests::begun, record::State};
    use std::time::Duration;

    const DOMAIN: Uuid = Uuid::from_u128(1);

    fn recording(path: &str, node: Option<&str>) -> Recording {
        let summary =
            media::recording::Summary { duration: Duration::ZERO, pauses: Vec::new(), displaced: Duration::ZERO };
        let (path, node) = (Some(path.to_owned()), node.map(str::to_owned));
        Recording { state: State::Complete, path, node, ..Recording::from(summary) }
    }

    /// A folder with the files of these names, and who deletes there for the server `here`.
    struct World {
        folder: PathBuf,
        eraser: Eraser,
    }

    impl World {
        fn new(files: &[&str]) -> Self {
            let folder = std::env::temp_dir().join(format!("ramal-erase-{}", Uuid::new_v4()));
            for file in files {
                let file = folder.join("r").join(file);
                fs::create_dir_all(file.parent().unwrap()).unwrap();
                fs::write(file, "x").unwrap();
            }
            let text = format!("[recording]\ndirectory = \"{}/r\"\nnode = \"here\"\n", folder.display());
            let config = config::Config::parse(&text, "test", &Environment::new()).unwrap();
            Self { folder, eraser: Eraser::new(&config.recording).unwrap() }
        }

        fn directory(&self) -> PathBuf {
            self.folder.join("r")
        }

        fn has(&self, file: &str) -> bool {
            self.directory().join(file).exists()
        }
    }

    impl Drop for World {
        fn drop(&mut self) {
            // A folder that stays is litter, not a failure.
            let _ = fs::remove_dir_all(&self.folder);
        }
    }

    #[test]
    fn a_file_is_deleted_and_nothing_of_another_tenant_or_outside_its_folder() {
        let (mine, stays, theirs) =
            (format!("{DOMAIN}/a.wav"), format!("{DOMAIN}/b.wav"), format!("{}/c.wav", Uuid::from_u128(2)));
        let world = World::new(&[&mine, &stays, &theirs, "../outside.wav"]);
        let conversation = Uuid::new_v4();
        let entry = folder::entry(&world.directory(), conversation);
        drop(folder::list(&entry, &mine, &begun(conversation)).unwrap());
        let known = corrections::of_file(Duration::ZERO, 1, "ab");
        corrections::note(&world.directory(), &conversation.to_string(), &mine, &known).unwrap();
        for _ in 0..2 {
            // What is not there is as good as deleted.
            world.eraser.erase(DOMAIN, conversation, &recording(&mine, Some("here"))).unwrap();
        }
        assert!(!world.has(&mine) && !entry.exists() && corrections::all(&world.directory()).is_empty());
        let outside = world.folder.join("outside.wav").display().to_string();
        for path in [&theirs, "../outside.wav", &format!("{DOMAIN}/../../outside.wav"), &outside, ""] {
            let refused = world.eraser.erase(DOMAIN, conversation, &recording(path, Some("here"))).unwrap_err();
            assert!(refused.to_string().contains("is not in the folder of its tenant"), "{path}: {refused}");
        }
        let url = Some(format!("s3://b/{stays}"));
        let kept = Recording { store: url, ..recording(&stays, Some("here")) };
        let elsewhere = world.eraser.erase(DOMAIN, conversation, &kept).unwrap_err();
        assert!(elsewhere.to_string().contains("names no store"), "{elsewhere}");
        assert!(!folder::is_in_use(&elsewhere));
        assert!(world.has(&stays) && world.has(&theirs) && world.has("../outside.wav"));
    }

    #[test]
    fn only_the_server_that_has_a_file_deletes_it() {
        let (there, lost) = (format!("{DOMAIN}/a.wav"), format!("{DOMAIN}/lost.wav"));
        let world = World::new(&[&there]);
        let erase = |recording: &Recording| world.eraser.erase(DOMAIN, Uuid::new_v4(), recording);
        let other = recording(&there, Some("other"));
        assert_eq!(world.eraser.elsewhere(&other), Some("other"));
        assert!(erase(&other).unwrap_err().to_string().contains("disk of other") && world.has(&there));
        let unnamed = erase(&recording(&lost, None)).unwrap_err();
        assert!(unnamed.to_string().contains("does not say where else"), "{unnamed}");
        erase(&Recording { released: Some("gone".into()), ..recording(&lost, None) }).unwrap();
        erase(&recording(&lost, Some("here"))).unwrap();
        erase(&recording(&there, None)).unwrap();
        assert!(!world.has(&there));
        fs::remove_dir_all(world.directory().join(DOMAIN.to_string())).unwrap();
        let unmounted = erase(&recording(&lost, Some("here"))).unwrap_err();
        assert!(unmounted.to_string().contains("not mounted"), "{unmounted}");
    }

    #[test]
    fn what_is_being_written_or_sent_is_left() {
        let path = format!("{DOMAIN}/a.wav");
        let world = World::new(&[&format!("{path}.part"), &path]);
        let conversation = Uuid::new_v4();
        let entry = folder::entry(&world.directory(), conversation);
        drop(folder::list(&entry, &path, &begun(conversation)).unwrap());
        for file in [entry, folder::part(&world.directory().join(&path))] {
            let held = folder::hold(&file).unwrap().unwrap();
            let busy = world.eraser.erase(DOMAIN, conversation, &recording(&path, Some("here"))).unwrap_err();
            assert!(busy.to_string().contains("at this moment") && world.has(&path), "{busy}");
            assert!(folder::is_in_use(&busy) && folder::is_in_use(&busy.context("deleting")));
            drop(held);
        }
        world.eraser.erase(DOMAIN, conversation, &recording(&path, Some("here"))).unwrap();
        assert!(!world.has(&path) && !world.has(&format!("{path}.part")));
    }

    #[test]
    fn what_was_opened_of_a_sealed_recording_goes_with_it() {
        let sealed = format!("{DOMAIN}/a.wav.sealed");
        let world = World::new(&[&sealed, &format!("{DOMAIN}/a.wav")]);
        world.eraser.erase(DOMAIN, Uuid::new_v4(), &recording(&sealed, Some("here"))).unwrap();
        assert!(!world.has(&sealed) && !world.has(&format!("{DOMAIN}/a.wav")));
    }
}
