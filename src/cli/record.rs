//! `ramal record`: pauses the recording of a call and goes on with it, and opens sealed ones.
use super::ask::Where;
use crate::{
    control::{Ask, RecordOrder},
    drivers::recorder::folder::SEALED,
    seal::{self, Key, Opened},
};
use anyhow::{Context, bail};
use media::recording::wav;
use std::{
    fs::{self, File, OpenOptions},
    io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// Pauses and resumes the recordings of calls, and opens sealed ones.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum What {
    /// Records nothing of a call until it is told to go on
    Pause(Which),
    /// Goes on recording a call
    Resume(Which),
    /// Opens a sealed recording: FILE.wav.sealed to FILE.wav
    Decrypt(Sealed),
}

#[derive(Clone, Debug, clap::Args)]
struct Sealed {
    /// The recording
    file: PathBuf,
    /// Configuration file with its key, else that of the variable RAMAL_CONFIG
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Clone, Debug, clap::Args)]
struct Which {
    /// The call: its Call-ID, or the UUID of its conversation
    call: String,
    #[command(flatten)]
    server: Where,
}

/// Runs the command.
///
/// # Errors
/// No server answers, or it has no such call, or does not record it.
pub fn run(args: Args) -> anyhow::Result<()> {
    let (Which { call, server }, order) = match args.what {
        What::Pause(which) => (which, RecordOrder::Pause),
        What::Resume(which) => (which, RecordOrder::Resume),
        What::Decrypt(Sealed { file, config }) => {
            let key = super::load(config.as_deref())?.recording.key;
            let opened = decrypt(&file, &key.context("there is no key: set [recording] key, or RAMAL_RECORDING_KEY")?)?;
            println!("{}", opened.display());
            return Ok(());
        }
    };
    match server.ask(Ask::Record { call, order })?.next() {
        None => Ok(()),
        Some(Err(error)) => Err(error),
        Some(Ok(_)) => bail!("the server says something else"),
    }
}

/// Opens a sealed recording beside itself; returns where.
///
/// # Errors
/// It is no such file, or of another key; or there is a file already where it would go.
pub(crate) fn decrypt(sealed: &Path, key: &Key) -> anyhow::Result<PathBuf> {
    let name = sealed.to_str().and_then(|name| name.strip_suffix(SEALED));
    let plain = PathBuf::from(name.with_context(|| format!("the name of a sealed recording ends with {SEALED}"))?);
    let shown = || sealed.display().to_string();
    let input = BufReader::new(File::open(sealed).with_context(shown)?);
    let made = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&plain);
    let mut output = made.with_context(|| plain.display().to_string())?;
    let mut writer = BufWriter::new(&output);
    match seal::open(key, input, &mut writer) {
        Ok(Opened::Whole) => {}
        Ok(Opened::Torn) => eprintln!("{} has no end: its writer was killed, and this is what there is", shown()),
        // What could be read of a damaged file is kept.
        Err(error @ seal::Error::Damaged { whole: 1.. }) => eprintln!("{}: {error}", shown()),
        Err(error) => {
            drop(writer);
            fs::remove_file(&plain)?;
            return Err(anyhow::Error::from(error).context(shown()));
        }
    }
    writer.flush()?;
    drop(writer);
    measure(&mut output)?;
    Ok(plain)
}

/// A WAV file that was sealed claims to be as long as can be; its header gets its length.
fn measure(file: &mut File) -> anyhow::Result<()> {
    let length = file.metadata()?.len();
    let mut header = [0; wav::HEADER];
    file.seek(SeekFrom::Start(0))?;
    if file.read_exact(&mut header).is_ok()
        && let Some(header) = wav::repaired(&header, length)
    {
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&header)?;
    }
    Ok(())
}
