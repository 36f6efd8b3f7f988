//! What the product is tested and measured against, as commands of the same binary.
mod agenda;
mod command;
pub mod elevenlabs;
pub mod gemini;
mod hearing;
pub mod live;
pub mod openai;
pub mod parts;
mod script;
mod server;
mod voice;

pub use script::ScriptError;

use clap::{Args as ClapArgs, Subcommand};

/// `ramal lab …`.
#[derive(ClapArgs, Clone, Debug)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Debug, Subcommand)]
enum Command {
    /// An OpenAI Realtime server that says what a script tells it to, and fails when told to
    Openai(command::Args),
    /// An OpenAI Live server that says what a script tells it to, and fails when told to
    Live(command::Args),
    /// A Gemini Live server that says what a script tells it to, and fails when told to
    Gemini(command::Args),
    /// An ElevenLabs Agents server that says what a script tells it to, and fails when told to
    Elevenlabs(command::Args),
    /// All parts of a pipeline at one address: Deepgram's ears, a model behind chat completions, transcriptions, and the
    /// voices of OpenAI, Deepgram, ElevenLabs and Piper
    Parts(command::Args),
}

/// Runs a lab command until it is interrupted.
///
/// # Errors
///
/// When a file cannot be read or written, or the address is taken.
pub fn run(args: &Args) -> anyhow::Result<()> {
    match &args.command {
        Command::Openai(args) => command::run::<openai::Core>("OpenAI Realtime", args),
        Command::Live(args) => command::run::<live::Core>("OpenAI Live", args),
        Command::Gemini(args) => command::run::<gemini::Core>("Gemini Live", args),
        Command::Parts(args) => parts::run(args),
        Command::Elevenlabs(args) => command::run::<elevenlabs::Core>("ElevenLabs Agents", args),
    }
}
