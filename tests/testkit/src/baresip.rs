//! baresip: a real phone that plays a file and records what it hears.
use crate::{
    phone::{Audio, Line, Phone},
    ports::Ports,
    process::Process,
    sound::Sound,
};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

/// How long it may take to start, to obey, and to be connected.
const PATIENCE: Duration = Duration::from_secs(20);
/// Longer than any message of its control connection.
const LONGEST_MESSAGE: usize = 4_096;

/// A phone under way.
#[derive(Debug)]
pub struct Baresip {
    process: Process,
    folder: PathBuf,
    address: SocketAddr,
    control: SocketAddr,
}

/// What it offers and takes, best first; G.722 by its samples, not by its clock.
const CODECS: &str = "PCMU/8000/1,PCMA/8000/1,G722/16000/1,opus/48000/2,L16/16000/1,L16/8000/1";

/// A phone that does what it is told, over its control connection (module `ctrl_tcp`).
#[derive(Debug)]
pub struct Obedient {
    phone: Baresip,
    control: TcpStream,
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
    /// Calls `uri` for `seconds`, playing `speech` (mono WAV, whose rate is its
    /// microphone's and its loudspeaker's), which must last as long as the call:
    /// baresip 1.0 hangs up at the end of its file.
    ///
    /// # Errors
    /// baresip is not installed, or its configuration cannot be written.
    pub fn call(uri: &str, speech: &Path, seconds: u32, ports: &mut Ports, folder: &Path) -> Result<Self> {
        Self::start(speech, &Line::default(), &limited(seconds, &["-e", &format!("/dial {uri}")]), ports, folder)
    }

    /// Waits `seconds` for a call on `line`, answers it, and plays `speech`.
    ///
    /// # Errors
    /// baresip is not installed, or its configuration cannot be written.
    pub fn answer(speech: &Path, line: &Line, seconds: u32, ports: &mut Ports, folder: &Path) -> Result<Self> {
        let mut phone = Self::start(speech, line, &limited(seconds, &[]), ports, folder)?;
        phone.process.wait_for_line("baresip is ready", PATIENCE)?;
        Ok(phone)
    }

    /// A phone on `line` that waits to be told what to do.
    ///
    /// # Errors
    /// baresip is not installed, its configuration cannot be written, or it does not listen.
    pub fn obedient(speech: &Path, line: &Line, ports: &mut Ports, folder: &Path) -> Result<Obedient> {
        let mut phone = Self::start(speech, line, &[], ports, folder)?;
        phone.process.wait_for_line("baresip is ready", PATIENCE)?;
        let control = TcpStream::connect(phone.control).context("the control connection of baresip")?;
        control.set_read_timeout(Some(PATIENCE))?;
        Ok(Obedient { phone, control })
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

    fn start(speech: &Path, line: &Line, extra: &[String], ports: &mut Ports, folder: &Path) -> Result<Self> {
        // It takes the SIP port and the one after it.
        let sip = ports.run(2)?.0;
        let rtp = ports.run(4)?;
        let control = ports.address()?;
        let folder = folder.join(format!("baresip-{sip}"));
        fs::create_dir_all(&folder)?;
        let rate = Sound::read(speech)?.first().context("speech without a channel")?.rate;
        let mut configuration = configuration((sip, rtp), (speech, rate), &folder);
        configuration.push_str(&format!("ctrl_tcp_listen {control}\n"));
        if line.rtcp_mux {
            configuration.push_str("rtcp_mux yes\n");
        }
        if line.skips_silence {
            configuration.push_str("opus_dtx yes\n");
        }
        if let Some(file) = &line.authority {
            configuration.push_str(&format!("sip_cafile {}\n", file.display()));
        }
        fs::write(folder.join("config"), configuration)?;
        let (address, outbound) = match &line.account {
            Some(account) => (account.address.clone(), format!(";outbound=\"{}\"", account.proxy)),
            None => (format!("phone@127.0.0.1:{sip}"), String::new()),
        };
        let encryption = match line.audio {
            Audio::Plain => "",
            Audio::Encrypted => ";mediaenc=srtp-mand",
        };
        let account = format!("<sip:{address}>;regint=0;answermode=auto;audio_codecs={CODECS}{encryption}{outbound}\n");
        fs::write(folder.join("accounts"), account)?;
        fs::write(folder.join("contacts"), "")?;
        let mut command = Command::new("baresip");
        command.arg("-4").arg("-f").arg(&folder).arg("-s").args(extra);
        let process = Process::start("baresip", &mut command)?;
        Ok(Self { process, folder, address: ([127, 0, 0, 1], sip).into(), control })
    }
}

impl Obedient {
    /// Sends a command of its menu, and waits until it has been carried out.
    fn obey(&mut self, command: &str, params: &str) -> Result<()> {
        let text = json!({ "command": command, "params": params, "token": command }).to_string();
        write!(self.control, "{}:{text},", text.len())?;
        loop {
            let message = self.message().with_context(|| format!("{command}: no answer\n{}", self.phone.process))?;
            // Between a command and its answer come the events it causes.
            if message["token"] == command {
                ensure!(message["ok"] == true, "{command}: {message}\n{}", self.phone.process);
                return Ok(());
            }
        }
    }

    /// The next message, a netstring with JSON.
    fn message(&mut self) -> Result<Value> {
        let mut length = 0;
        loop {
            match self.byte()? {
                digit @ b'0'..=b'9' if length < LONGEST_MESSAGE => length = length * 10 + usize::from(digit - b'0'),
                b':' => break,
                other => anyhow::bail!("{other} in the length of a netstring"),
            }
        }
        let mut text = vec![0; length];
        self.control.read_exact(&mut text)?;
        ensure!(self.byte()? == b',', "a netstring without its end");
        Ok(serde_json::from_slice(&text)?)
    }

    fn byte(&mut self) -> Result<u8> {
        let mut byte = [0];
        self.control.read_exact(&mut byte)?;
        Ok(byte[0])
    }
}

impl Phone for Obedient {
    fn dial(&mut self, uri: &str) -> Result<()> {
        self.obey("dial", uri)?;
        self.phone.process.wait_for_line("Call established", PATIENCE).map(drop)
    }

    fn hold(&mut self) -> Result<()> {
        self.obey("hold", "")
    }

    fn resume(&mut self) -> Result<()> {
        self.obey("resume", "")
    }

    fn press(&mut self, key: char) -> Result<()> {
        self.obey("sndcode", &key.to_string())
    }

    fn hang_up(&mut self) -> Result<()> {
        self.obey("hangup", "")
    }

    fn process(&mut self) -> &mut Process {
        &mut self.phone.process
    }
}

/// Arguments for one that quits by itself.
fn limited(seconds: u32, extra: &[&str]) -> Vec<String> {
    let seconds = seconds.to_string();
    ["-t", &seconds].iter().chain(extra).map(|&argument| argument.to_owned()).collect()
}

fn configuration((sip, rtp): (u16, (u16, u16)), (speech, rate): (&Path, u32), folder: &Path) -> String {
    let modules = ["account.so", "menu.so", "ctrl_tcp.so"].map(|name| format!("module_app {name}")).join("\n");
    let codecs = ["g711", "g722", "opus", "l16"].map(|name| format!("module {name}.so")).join("\n");
    format!(
        "module_path /usr/lib/baresip/modules\n\
         sip_listen 127.0.0.1:{sip}\n\
         net_interface 127.0.0.1\n\
         rtp_ports {}-{}\n\
         audio_source aufile,{}\n\
         audio_player aubridge,player\n\
         audio_alert aubridge,alert\n\
         ausrc_srate {rate}\n\
         auplay_srate {rate}\n\
         ausrc_channels 1\n\
         auplay_channels 1\n\
         snd_path {}\n\
         {codecs}\nmodule aufile.so\nmodule aubridge.so\nmodule sndfile.so\nmodule srtp.so\n{modules}\n",
        rtp.0,
        rtp.1,
        speech.display(),
        folder.display()
    )
}
