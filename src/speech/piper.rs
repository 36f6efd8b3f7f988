//! Piper as a program, for English where its voice and its program are installed.
use super::{Error, Part, process, wav};
use crate::models::digest;
use media::{Frame, SampleRate};
use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

const PROGRAM: &str = "piper";
const MODEL: &str = "tts/piper/en_US-joe-medium.onnx";

/// Piper with its English voice.
#[derive(Debug)]
pub(super) struct Piper {
    program: PathBuf,
    model: PathBuf,
}

impl Piper {
    /// The voice, if it and the program (below the models folder, or on the path) are there.
    pub(super) fn find(models_dir: &Path) -> Option<Self> {
        let model = models_dir.join(MODEL);
        let below = models_dir.join("tts/piper/bin");
        let path = env::var_os("PATH").unwrap_or_default();
        let program = std::iter::once(below)
            .chain(env::split_paths(&path))
            .map(|folder| folder.join(PROGRAM))
            .find(|program| program.is_file())?;
        model.is_file().then_some(Self { program, model })
    }

    pub(super) fn part(&self) -> Part {
        Part { name: "Piper en_US-joe-medium".into(), sha256: digest::of_file(&self.model).ok() }
    }

    /// Speaks a sentence, at this rate at the most. The program loads its voice each time: about a second.
    ///
    /// # Errors
    /// The program cannot be run or writes no speech.
    pub(super) fn speak(&self, text: &str, most: SampleRate) -> Result<Frame, Error> {
        let mut command = Command::new(&self.program);
        command.arg("-m").arg(&self.model).args(["-f", "/dev/stdout"]);
        let line = text.replace(['\r', '\n'], " ");
        wav::speech(&process::run(&mut command, &format!("{line}\n"), PROGRAM)?, PROGRAM, most)
    }
}
