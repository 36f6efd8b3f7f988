//! `[recording]`: whose calls are recorded, and into what.
use super::{
    Secret,
    check::{Check, Place},
    raw::RawRecording,
};
use crate::{
    call,
    seal::Key,
    secretary::{DomainRef, Secretary},
};
use media::recording::Blank;
use std::{path::PathBuf, str::FromStr, time::Duration};

/// How calls are recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    /// What a call needs to know.
    pub calls: call::Recording,
    /// Where the files are.
    pub directory: PathBuf,
    /// What this server is called where several share a database: only this one deletes the files it has.
    pub node: String,
    /// Of the files.
    pub format: RecordingFormat,
    /// What files are sealed with, if they are.
    pub key: Option<Key>,
    /// Where finished files are sent.
    pub s3: Option<S3>,
    /// Whose calls may be listened to while they are up.
    pub listen_in: Vec<Heard>,
}

/// Whose calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// `*`: of every tenant.
    All,
    /// Of one.
    Of(DomainRef),
}

impl FromStr for Heard {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "" => Err(()),
            "*" => Ok(Self::All),
            domain => Ok(Self::Of(DomainRef::from(domain))),
        }
    }
}

impl Recording {
    /// Whether anybody may listen to the calls of this secretary.
    pub fn may_listen_to(&self, secretary: &Secretary) -> bool {
        self.listen_in.iter().any(|heard| match heard {
            Heard::All => true,
            Heard::Of(DomainRef::Name(name)) => name.eq_ignore_ascii_case(&secretary.domain_name),
            Heard::Of(DomainRef::Uuid(uuid)) => *uuid == secretary.domain_uuid,
        })
    }
}

/// An S3-compatible store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3 {
    /// `http://` or `https://`, without a bucket.
    pub endpoint: String,
    /// The bucket, which exists.
    pub bucket: String,
    /// Its region.
    pub region: String,
    /// Who we are.
    pub access_key: String,
    /// And our proof of it.
    pub secret_key: Secret,
    /// Before the path of each file.
    pub prefix: String,
    /// Whether the local file stays when the store has it.
    pub keep_local: bool,
}

impl S3 {
    /// What a file of this path is called there.
    pub fn key(&self, path: &str) -> String {
        format!("{}{path}", self.prefix)
    }
}

/// What a recording's file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordingFormat {
    /// 16-bit PCM: 115 MB an hour at 8 kHz.
    Wav,
    /// Ogg/Opus: 14 MB an hour.
    Opus,
}

impl RecordingFormat {
    /// What its files' names end with.
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Wav => "wav",
            Self::Opus => "opus",
        }
    }
}

impl FromStr for RecordingFormat {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::Wav, Self::Opus].into_iter().find(|format| format.extension() == text).ok_or(())
    }
}

struct PauseSound(Blank);

impl FromStr for PauseSound {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "silence" => Ok(Self(Blank::Silence)),
            "tone" => Ok(Self(Blank::Tone)),
            _ => Err(()),
        }
    }
}

pub(super) fn recording(mut raw: RawRecording, check: &mut Check<'_>) -> Recording {
    let at = |key| Place { section: "recording", key };
    check.unknown("recording", &raw.unknown, RawRecording::KEYS);
    let keys = check.integer(at("pause_on_dtmf_s"), raw.pause_on_dtmf_s.take(), 0..=60).unwrap_or(0);
    let s3 = s3(&mut raw, check);
    let key = check.secret(at("key"), raw.key);
    let sealed = key.as_ref().map(|key| Key::parse(key.expose()));
    if sealed == Some(None) {
        check.refuse(at("key"), None, "must be 64 hexadecimal digits; `openssl rand -hex 32` makes some");
    }
    let listen_in = check.list(at("listen_in"), raw.listen_in, "must be domain names or UUIDs, or \"*\" for all");
    let sound = check.parsed(at("pause_sound"), raw.pause_sound, "must be \"silence\" or \"tone\"");
    Recording {
        calls: call::Recording {
            enabled: check.flag(at("enabled"), raw.enabled).unwrap_or(false),
            blank: sound.map_or(Blank::Silence, |PauseSound(blank)| blank),
            pause_on_dtmf: (keys > 0).then(|| Duration::from_secs(keys.into())),
            notice: check.text(at("announcement"), raw.announcement),
        },
        directory: check.text(at("directory"), raw.directory).map_or_else(|| "recordings".into(), PathBuf::from),
        node: check.text(at("node"), raw.node).unwrap_or_else(machine),
        format: check.parsed(at("format"), raw.format, "must be \"wav\" or \"opus\"").unwrap_or(RecordingFormat::Wav),
        key: sealed.flatten(),
        s3,
        listen_in: listen_in.unwrap_or_default(),
    }
}

/// The name of this machine.
fn machine() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "localhost" } else { name }.to_owned()
}

/// The store, if there is one.
fn s3(raw: &mut RawRecording, check: &mut Check<'_>) -> Option<S3> {
    let at = |key| Place { section: "recording", key };
    let written = raw.s3_endpoint.clone();
    let endpoint = check.text(at("s3_endpoint"), raw.s3_endpoint.take());
    let bucket = check.text(at("s3_bucket"), raw.s3_bucket.take());
    let access_key = check.text(at("s3_access_key"), raw.s3_access_key.take());
    let secret_key = check.secret(at("s3_secret_key"), raw.s3_secret_key.take());
    let region = check.text(at("s3_region"), raw.s3_region.take()).unwrap_or_else(|| "us-east-1".to_owned());
    let prefix = check.text(at("s3_prefix"), raw.s3_prefix.take()).unwrap_or_default();
    let keep_local = check.flag(at("s3_keep_local"), raw.s3_keep_local.take()).unwrap_or(true);
    let missing = [
        ("s3_endpoint", endpoint.is_none()),
        ("s3_bucket", bucket.is_none()),
        ("s3_access_key", access_key.is_none()),
        ("s3_secret_key", secret_key.is_none()),
    ];
    if missing.iter().all(|(_, missing)| *missing) {
        return None;
    }
    for (key, _) in missing.into_iter().filter(|(_, missing)| *missing) {
        check.refuse(at(key), None, "is missing: the other keys of the store are there");
    }
    let endpoint = endpoint?;
    if !endpoint.starts_with("https://") && !endpoint.starts_with("http://") {
        check.refuse(at("s3_endpoint"), written.as_ref(), "must start with \"https://\" or \"http://\"");
    }
    Some(S3 { endpoint, bucket: bucket?, region, access_key: access_key?, secret_key: secret_key?, prefix, keep_local })
}
