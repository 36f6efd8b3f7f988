//! Speech models: what there is, where it comes from, whether it is here; and a way to try them.
pub mod catalogue;
mod client;
mod debian;
pub mod digest;
mod download;
mod fetch;
mod install;
#[cfg(test)]
mod tests;

use crate::{speech, wav};
use anyhow::Context;
use catalogue::{MODELS, Wanted};
use clap::Subcommand;
use std::{
    env,
    io::{self, Write},
    path::{Path, PathBuf},
};

/// Speech models of the built-in provider.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// Where the models are; by default $RAMAL_MODELS, else ramal/models in the user's data folder.
    #[arg(long, global = true, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do with models.
#[derive(Subcommand, Clone, Debug)]
pub enum Command {
    /// Fetches models (pinned by hash, resumable): those the built-in provider uses, or those whose path holds a filter.
    Fetch {
        /// Parts of paths, as `ramal models list` shows them.
        filters: Vec<String>,
    },
    /// Shows every model: whether it is here and whole, its size and its purpose.
    List,
    /// Speaks a text to an 8 kHz WAV, as callers would hear it.
    Say {
        /// What to say.
        text: String,
        /// Where to.
        file: PathBuf,
        /// The language of the text.
        #[arg(long, default_value = "pt-BR", value_name = "TAG")]
        language: String,
    },
    /// Prints the words of a WAV, as the built-in provider would hear them through a telephone.
    Hear {
        /// 16-bit PCM, any rate.
        file: PathBuf,
        /// The language spoken.
        #[arg(long, default_value = "pt-BR", value_name = "TAG")]
        language: String,
    },
}

/// The folder of models: `$RAMAL_MODELS`, else `ramal/models` in the user's data folder.
pub fn default_dir() -> PathBuf {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(dir) = set("RAMAL_MODELS") {
        return dir;
    }
    let data = set("XDG_DATA_HOME").or_else(|| set("HOME").map(|home| home.join(".local/share")));
    data.unwrap_or_else(|| PathBuf::from(".")).join("ramal/models")
}

/// Runs `ramal models`.
///
/// # Errors
/// What was asked for could not be done; said in words for the terminal.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let dir = args.dir.clone().unwrap_or_else(default_dir);
    match &args.command {
        Command::Fetch { filters } => fetch::run(&dir, filters),
        Command::List => Ok(list(&dir, &mut io::stdout().lock())?),
        Command::Say { text, file, language } => say(&dir, text, file, language),
        Command::Hear { file, language } => {
            let speech = wav::read_narrowband(file)?;
            println!("{}", speech::hear_with(&dir, &speech, language)?);
            Ok(())
        }
    }
}

fn list(dir: &Path, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{}", dir.display())?;
    for model in MODELS {
        let path = dir.join(model.file);
        let state = match digest::of_file(&path) {
            Ok(hash) if hash == model.sha256 => "present",
            Ok(_) => "BROKEN",
            Err(_) => "absent",
        };
        let wanted = match model.wanted {
            Wanted::ByDefault => "default",
            Wanted::WhenNamed => "extra",
        };
        let hash = model.sha256.get(..12).unwrap_or_default();
        let megabytes = model.size as f64 / 1e6;
        writeln!(out, "{state:8} {wanted:8} {megabytes:7.1} MB {hash}  {}  {}", model.file, model.purpose)?;
    }
    let rhvoice = if speech::speaks_portuguese(dir) { "present" } else { "absent" };
    writeln!(
        out,
        "{rhvoice:8} {:8} {:7.1} MB {:12}  {}  {}",
        "default",
        21.1,
        "packages",
        fetch::RHVOICE,
        fetch::RHVOICE_PURPOSE
    )
}

fn say(dir: &Path, text: &str, file: &Path, language: &str) -> anyhow::Result<()> {
    let frame = speech::say_with(dir, text, language)?;
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: frame.rate.hz(),
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let shown = file.display();
    let mut writer = hound::WavWriter::create(file, spec).with_context(|| format!("cannot write {shown}"))?;
    for sample in &frame.samples {
        writer.write_sample(*sample)?;
    }
    writer.finalize()?;
    println!("{shown}: {:.2} s", frame.duration().as_secs_f32());
    Ok(())
}
