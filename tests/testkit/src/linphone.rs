//! linphone's console, with files in place of a sound card.
use crate::{
    phone::{Account, Audio, Line, Phone},
    ports::Ports,
    process::Process,
};
use anyhow::Result;
use std::{fmt::Write, fs, path::Path, process::Command, time::Duration};

/// How long it may take to start, to obey, and to be connected.
const PATIENCE: Duration = Duration::from_secs(20);

/// A phone under way.
#[derive(Debug)]
pub struct Linphone {
    process: Process,
}

impl Linphone {
    /// Starts one on `line` that speaks what is in the file `speech`, 8 kHz mono WAV.
    ///
    /// # Errors
    /// linphonec is not installed, or its configuration cannot be written.
    pub fn start(speech: &Path, line: &Line, ports: &mut Ports, folder: &Path) -> Result<Self> {
        let (sip, tls, rtp) = (ports.port()?, ports.port()?, ports.run(2)?.0);
        let folder = folder.join(format!("linphone-{sip}"));
        fs::create_dir_all(folder.join(".local/share/linphone"))?;
        let configuration = folder.join("linphonerc");
        fs::write(&configuration, settings(line, [sip, tls, rtp])?)?;
        let mut command = Command::new("linphonec");
        command.arg("-c").arg(&configuration).env("HOME", &folder);
        let mut process = Process::start_with_input("linphonec", &mut command)?;
        process.tell("soundcard use files")?;
        process.tell(&format!("play {}", speech.display()))?;
        process.tell(&format!("record {}", folder.join("heard.wav").display()))?;
        process.wait_for_line("Using wav files instead of soundcard", PATIENCE)?;
        Ok(Self { process })
    }

    /// Gives a command, and waits until its outcome is told.
    fn obey(&mut self, command: &str, outcome: &str) -> Result<()> {
        let mark = self.process.mark();
        self.process.tell(command)?;
        self.process.wait_for_line_after(mark, outcome, PATIENCE).map(drop)
    }
}

impl Phone for Linphone {
    fn dial(&mut self, uri: &str) -> Result<()> {
        self.obey(&format!("call {uri}"), "Media streams established")
    }

    fn hold(&mut self) -> Result<()> {
        self.obey("pause", "is now paused")
    }

    fn resume(&mut self) -> Result<()> {
        self.obey("resume", "Media streams established")
    }

    fn press(&mut self, key: char) -> Result<()> {
        self.process.tell(&key.to_string())
    }

    fn hang_up(&mut self) -> Result<()> {
        self.process.tell("terminate")
    }

    fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

/// Without `use_ipv6` and `bind_address` its SDP names the address of the machine's default route.
fn settings(line: &Line, [sip, tls, rtp]: [u16; 3]) -> Result<String> {
    let mut text = format!(
        "[sip]\nsip_port={sip}\nsip_tcp_port={sip}\nsip_tls_port={tls}\nuse_ipv6=0\nipv6_migration_done=1\n\
         register_only_when_network_is_up=0\nauto_net_state_mon=0\n"
    );
    if let Some(file) = &line.authority {
        // Its mbed TLS 2 compares addresses with none of the names in a certificate: only the authority is verified.
        writeln!(text, "root_ca={}\nverify_server_cn=0", file.display())?;
    }
    if line.audio == Audio::Encrypted {
        writeln!(text, "media_encryption=srtp\nmedia_encryption_mandatory=1")?;
    }
    if line.account.is_some() {
        writeln!(text, "default_proxy=0")?;
    }
    writeln!(text, "[rtp]\naudio_rtp_port={rtp}\nbind_address=127.0.0.1")?;
    if let Some(Account { address, proxy }) = &line.account {
        writeln!(text, "[proxy_0]\nreg_proxy=<{proxy}>\nreg_route=<{proxy}>\nreg_identity=<sip:{address}>")?;
        writeln!(text, "reg_sendregister=0")?;
    }
    Ok(text)
}
