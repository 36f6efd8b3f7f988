//! `ramal listen`: what a call sounds like while it is up, as a WAV file.
use super::ask::Where;
use crate::control::{Ask, Reply};
use anyhow::{Context, bail};
use media::{SampleRate, recording::wav};
use std::{
    fs::OpenOptions,
    io::{self, IsTerminal, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// Frames after which the header of a file is made right: it may be heard before it ends.
const MEASURED: u64 = 8_000;
/// Frames of silence that are written at a time.
const STEP: u64 = 1_024;
const BYTES_A_FRAME: u64 = 4;

/// Listens to a call: the caller on the left, the assistant on the right. The record of the call says who did.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Its conversation as `ramal calls` shows it, or how that begins
    #[arg(value_name = "CONVERSATION")]
    call: String,
    /// The WAV file, which must not be there yet; without it, or as "-", standard output
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    server: Where,
}

/// Runs the command, until the call is over or nobody reads on.
///
/// # Errors
/// No server answers, or it has no such call, or nobody may listen to it; the file cannot be written.
pub fn run(args: Args) -> anyhow::Result<()> {
    let file = args.output.as_deref().filter(|path| *path != Path::new("-"));
    if file.is_none() && io::stdout().is_terminal() {
        bail!("sound is nothing for a terminal: name a file with --output FILE, or pipe it into a player (`| aplay`)");
    }
    let mut replies = args.server.ask(Ask::Listen { call: args.call })?;
    let Reply::Listening { rate, .. } = replies.next().context("the server says nothing")?? else {
        bail!("the server says something else");
    };
    let rate = SampleRate::new(rate).context("the server says a rate that this program does not know")?;
    let sounds = replies.map(|reply| match reply? {
        Reply::Heard { missed, base64 } => {
            let samples = base64_simd::STANDARD.decode_to_vec(base64).context("the server says something else")?;
            Ok((missed, samples))
        }
        _ => bail!("the server says something else"),
    });
    let taken = match file {
        Some(path) => {
            // What callers say is for the one who asked.
            let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
            to_file(sounds, rate, made.with_context(|| path.display().to_string())?)
        }
        None => to_pipe(sounds, rate, io::stdout().lock()),
    };
    match taken {
        // A player that was closed has heard enough.
        Err(error) if error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe) => {
            Ok(())
        }
        other => other,
    }
}

type Sound = anyhow::Result<(u64, Vec<u8>)>;

/// A file whose header is right a second ago at most, however this ends.
fn to_file(sounds: impl Iterator<Item = Sound>, rate: SampleRate, mut file: impl Write + Seek) -> anyhow::Result<()> {
    file.write_all(&wav::header(rate, 0))?;
    let (mut frames, mut measured) = (0, 0);
    let measure = |file: &mut _, frames: u64| header(file, rate, frames);
    for sound in sounds {
        frames += put(&mut file, sound?)?;
        if frames - measured >= MEASURED {
            measured = frames;
            measure(&mut file, frames)?;
        }
    }
    measure(&mut file, frames)?;
    Ok(file.flush()?)
}

fn header(file: &mut (impl Write + Seek), rate: SampleRate, frames: u64) -> io::Result<()> {
    file.seek(SeekFrom::Start(0))?;
    file.write_all(&wav::header(rate, frames * BYTES_A_FRAME))?;
    file.seek(SeekFrom::End(0))?;
    Ok(())
}

/// Nobody knows how long it will be: the header says as long as can be.
fn to_pipe(sounds: impl Iterator<Item = Sound>, rate: SampleRate, mut out: impl Write) -> anyhow::Result<()> {
    out.write_all(&wav::header(rate, wav::LARGEST))?;
    for sound in sounds {
        put(&mut out, sound?)?;
        out.flush()?;
    }
    Ok(())
}

/// What was missed is silence, so that time goes on. Returns how many frames were written.
fn put(out: &mut impl Write, (missed, samples): (u64, Vec<u8>)) -> io::Result<u64> {
    if missed > 0 {
        eprintln!("ramal: too slow for {missed} frames: silence stands for them");
    }
    let mut left = missed;
    while left > 0 {
        let step = left.min(STEP);
        let bytes = usize::try_from(step * BYTES_A_FRAME).unwrap_or_default();
        out.write_all(&vec![0; bytes])?;
        left -= step;
    }
    out.write_all(&samples)?;
    Ok(missed + samples.len() as u64 / BYTES_A_FRAME)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    #[test]
    fn a_file_is_as_long_as_what_was_heard_and_missed() {
        let sounds = [(0, vec![1; 640]), (80, vec![2; 640])].map(Ok);
        let mut file = Cursor::new(Vec::new());
        to_file(sounds.into_iter(), SampleRate::HZ_8000, &mut file).unwrap();
        let bytes = file.into_inner();
        assert_eq!(bytes[..wav::HEADER], wav::header(SampleRate::HZ_8000, 640 + 320 + 640));
        assert_eq!(bytes.len(), wav::HEADER + 1_600);
        assert!(bytes[wav::HEADER + 640..wav::HEADER + 960].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn a_file_is_right_also_when_the_server_goes() {
        let second = (0, vec![3; 8_000 * 4]);
        let sounds = [Ok(second), Err(anyhow::anyhow!("the server has gone"))];
        let mut file = Cursor::new(Vec::new());
        to_file(sounds.into_iter(), SampleRate::HZ_8000, &mut file).unwrap_err();
        assert_eq!(file.into_inner()[..wav::HEADER], wav::header(SampleRate::HZ_8000, 32_000));
    }
}
