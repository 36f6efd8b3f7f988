//! Recordings to a judge of sound, scores back.
use crate::{Key, Result};
use media::SampleRate;
use std::{
    collections::BTreeMap,
    env, fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// One recording to be scored.
pub(crate) struct Job {
    pub(crate) key: Key,
    pub(crate) rate: SampleRate,
    pub(crate) seed: u64,
}

/// Recordings that wait for their scores.
pub(crate) struct Scores {
    folder: PathBuf,
    script: PathBuf,
    jobs: Vec<(Key, String)>,
}

impl Scores {
    pub(crate) fn new(root: &Path) -> Result<Self> {
        let folder = env::temp_dir().join(format!("ramal-sound-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        Ok(Self { folder, script: root.join("media/benches/sound/score.py"), jobs: Vec::new() })
    }

    pub(crate) fn add(&mut self, job: Job, reference: &[i16], heard: &[i16]) -> Result<()> {
        let known = self.folder.join(format!("reference-{}-{}", job.rate.hz(), job.seed));
        if !known.exists() {
            fs::write(&known, raw(reference))?;
        }
        let judged = self.folder.join(format!("{}", self.jobs.len()));
        fs::write(&judged, raw(heard))?;
        self.jobs.push((job.key, format!("{} {} {}\n", job.rate.hz(), known.display(), judged.display())));
        Ok(())
    }

    /// The scores of each key, one for each seed.
    pub(crate) fn ask(self) -> Result<BTreeMap<Key, Vec<f64>>> {
        let home = env::var_os("RAMAL_JUDGE").ok_or("RAMAL_JUDGE is not set: run `make bench-sound`")?;
        let python = Path::new(&home).join("venv/bin/python");
        let mut judge = Command::new(&python)
            .arg(&self.script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{}: {error}", python.display()))?;
        let lines: String = self.jobs.iter().map(|(_, line)| line.as_str()).collect();
        judge.stdin.take().ok_or("the judge has no input")?.write_all(lines.as_bytes())?;
        let output = judge.wait_with_output()?;
        fs::remove_dir_all(&self.folder)?;
        let words = String::from_utf8(output.stdout)?;
        let mut scores: BTreeMap<Key, Vec<f64>> = BTreeMap::new();
        if !output.status.success() || words.lines().count() != self.jobs.len() {
            return Err(format!("the judge of sound failed: {}", output.status).into());
        }
        for ((key, _), score) in self.jobs.iter().zip(words.lines()) {
            scores.entry(*key).or_default().push(score.parse()?);
        }
        Ok(scores)
    }
}

fn raw(samples: &[i16]) -> Vec<u8> {
    samples.iter().flat_map(|sample| sample.to_le_bytes()).collect()
}
