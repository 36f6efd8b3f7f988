//! RHVoice as a program: Letícia for Portuguese, Slt for English where installed.
//!
//! Looked for in the models folder, where `ramal models fetch` unpacks Debian's packages, and then in the system.
use super::{Error, Part, process, wav};
use crate::models::digest;
use media::{Frame, SampleRate};
use providers::local::Language;
use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

/// Where the packages are unpacked, below the models folder.
pub(crate) const ROOT: &str = "tts/rhvoice";
const PROGRAM: &str = "RHVoice-test";

/// One voice of RHVoice.
#[derive(Debug)]
pub(super) struct RhVoice {
    /// `/` or the folder the packages are unpacked to.
    root: PathBuf,
    voice: &'static str,
}

impl RhVoice {
    /// The voice for a language, if program and voice are there.
    pub(super) fn find(models_dir: &Path, language: Language) -> Option<Self> {
        let voice = match language {
            Language::PtBr => "Leticia-F123",
            Language::EnUs => "Slt",
        };
        [models_dir.join(ROOT), PathBuf::from("/")]
            .into_iter()
            .map(|root| Self { root, voice })
            .find(|found| found.program().is_file() && found.model().is_file())
    }

    pub(super) fn part(&self) -> Part {
        Part { name: format!("RHVoice {}", self.voice), sha256: digest::of_file(&self.model()).ok() }
    }

    /// Speaks a sentence, at this rate at the most: a quarter to half a second on a quiet core.
    ///
    /// # Errors
    /// The program cannot be run or writes no speech.
    pub(super) fn speak(&self, text: &str, most: SampleRate) -> Result<Frame, Error> {
        let data = self.root.join("usr/share/RHVoice");
        let mut command = Command::new(self.program());
        command.args(["-p", &self.voice.to_lowercase(), "-o", "/dev/stdout"]).env("RHVOICE_DATA_PATH", data);
        if let Some(libraries) = self.libraries() {
            command.env("LD_LIBRARY_PATH", libraries).env("RHVOICE_CONFIG_PATH", self.root.join("etc/RHVoice"));
        }
        // One line is one text to it; a sentence must not be two.
        let line = text.replace(['\r', '\n'], " ");
        wav::speech(&process::run(&mut command, &format!("{line}\n"), PROGRAM)?, PROGRAM, most)
    }

    fn program(&self) -> PathBuf {
        self.root.join("usr/bin").join(PROGRAM)
    }

    fn model(&self) -> PathBuf {
        self.root.join("usr/share/RHVoice/voices").join(self.voice).join("24000/voice.data")
    }

    /// The unpacked libraries; none for the system's own, which its linker finds.
    fn libraries(&self) -> Option<PathBuf> {
        let folder = format!("usr/lib/{}-linux-gnu", env::consts::ARCH);
        (self.root != Path::new("/")).then(|| self.root.join(folder))
    }
}
