//! baresip as a caller: a real phone that plays a file and records what it hears.
use crate::{ports::Ports, process::Process, sound::Sound};
use anyhow::{Context, Result};
use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

/// A phone under way.
#[derive(Debug)]
pub struct Baresip {
    process: Process,
    folder: PathBuf,
    address: SocketAddr,
}

/// What it recorded.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// What it heard.
    pub heard: Sound,
    /// What it sent.
    pub sent: Sound,
}

impl Baresip {
    /// Calls `uri` for `seconds`, playing `speech` (8 kHz mono WAV), which must last as long as the call:
    /// baresip 1.0 hangs up at the end of its file.
    ///
    /// # Errors
    /// baresip is not installed, or its configuration cannot be written.
    pub fn call(uri: &str, speech: &Path, seconds: u32, ports: &mut Ports, folder: &Path) -> Result<Self> {
        Self::start(speech, seconds, &["-e".into(), format!("/dial {uri}")], ports, folder)
    }

    /// Waits `seconds` for a call, answers it, and plays `speech`.
    ///
    /// # Errors
    /// baresip is not installed, or its configuration cannot be written.
    pub fn answer(speech: &Path, seconds: u32, ports: &mut Ports, folder: &Path) -> Result<Self> {
        let mut phone = Self::start(speech, seconds, &[], ports, folder)?;
        phone.process.wait_for_line("baresip is ready", Duration::from_secs(10))?;
        Ok(phone)
    }

    /// Where it listens; its user is `phone`.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its output.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Waits until it quits by itself, and reads what it recorded.
    ///
    /// # Errors
    /// It did not quit within `patience`, or recorded nothing.
    pub fn finish(self, patience: Duration) -> Result<Recorded> {
        let ended = self.process.wait(patience)?;
        let recording = |direction: &str| -> Result<Sound> {
            let file = fs::read_dir(&self.folder)?
                .filter_map(|entry| Some(entry.ok()?.path()))
                .find(|path| path.to_string_lossy().ends_with(&format!("-{direction}.wav")))
                .with_context(|| format!("baresip recorded no {direction}; it said:\n{}", ended.lines.join("\n")))?;
            Sound::read(&file)?.into_iter().next().context("a recording without a channel")
        };
        Ok(Recorded { heard: recording("dec")?, sent: recording("enc")? })
    }

    fn start(speech: &Path, seconds: u32, extra: &[String], ports: &mut Ports, folder: &Path) -> Result<Self> {
        // It takes the SIP port and the one after it.
        let sip = ports.run(2)?.0;
        let (rtp_first, rtp_last) = ports.run(4)?;
        let folder = folder.join(format!("baresip-{sip}"));
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("config"), configuration(sip, (rtp_first, rtp_last), speech, &folder))?;
        let account =
            format!("<sip:phone@127.0.0.1:{sip}>;regint=0;answermode=auto;audio_codecs=PCMU/8000/1,PCMA/8000/1\n");
        fs::write(folder.join("accounts"), account)?;
        fs::write(folder.join("contacts"), "")?;
        let mut command = Command::new("baresip");
        command.arg("-4").arg("-f").arg(&folder).args(["-t", &seconds.to_string(), "-s"]).args(extra);
        let process = Process::start("baresip", &mut command)?;
        Ok(Self { process, folder, address: ([127, 0, 0, 1], sip).into() })
    }
}

fn configuration(sip: u16, rtp: (u16, u16), speech: &Path, folder: &Path) -> String {
    let modules = ["account.so", "menu.so"].map(|name| format!("module_app {name}")).join("\n");
    format!(
        "module_path /usr/lib/baresip/modules\n\
         sip_listen 127.0.0.1:{sip}\n\
         net_interface 127.0.0.1\n\
         rtp_ports {}-{}\n\
         audio_source aufile,{}\n\
         audio_player aubridge,player\n\
         audio_alert aubridge,alert\n\
         ausrc_srate 8000\n\
         auplay_srate 8000\n\
         snd_path {}\n\
         module g711.so\nmodule aufile.so\nmodule aubridge.so\nmodule sndfile.so\n{modules}\n",
        rtp.0,
        rtp.1,
        speech.display(),
        folder.display()
    )
}
