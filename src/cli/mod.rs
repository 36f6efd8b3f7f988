//! The commands of `ramal`.
mod ask;
pub mod call;
pub mod calls;
pub mod config;
pub mod conversations;
pub mod demo;
mod domain_logs;
pub mod keys;
pub mod knowledge;
pub mod listen;
pub mod live;
pub mod logging;
pub mod record;
pub mod serve;
mod signals;
pub mod status;
pub mod tokens;
pub mod trace;

use crate::{
    config::{Config, ConfigError, Environment},
    paint::Paint,
};
use clap::{Parser, Subcommand};
use std::{
    io::{self, IsTerminal},
    path::Path,
    process::ExitCode,
    time::Duration,
};

/// What was asked for is wrong (clap's own code for a wrong command line).
const WRONG: u8 = 2;

/// How long threads may take to end with the server.
const GOODBYE: Duration = Duration::from_secs(1);

/// An extension that an AI answers.
#[derive(Debug, Parser)]
#[command(name = "ramal", version, about, propagate_version = true, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Answers calls until SIGTERM or SIGINT
    Serve(serve::ServeArgs),
    /// Places a call: a phone in the terminal
    Call(Box<call::CallArgs>),
    /// Starts a server without any key, and calls it with recorded speech
    Demo(demo::DemoArgs),
    /// Prints the default configuration, or checks one
    Config(config::Args),
    /// Sets tenants' own provider keys, and seals them anew with another master key
    Keys(keys::Args),
    /// Makes, lists and revokes tokens for the HTTP API
    Tokens(tokens::Args),
    /// Keeps documents in which secretaries look things up, and shows what they find
    Knowledge(knowledge::Args),
    /// Lists stored conversations with what was said
    Conversations(conversations::Args),
    /// Shows the SIP messages of a call, or of all as they pass
    Trace(Box<trace::Args>),
    /// Lists the calls that are up: state, tenant, caller, who speaks, cost
    Calls(calls::Args),
    /// Ends a call that is up
    Hangup(calls::HangUpArgs),
    /// Sends the caller of a call that is up to somebody
    Transfer(calls::TransferArgs),
    /// Listens to a call that is up, as a WAV file
    Listen(listen::Args),
    /// Pauses the recording of a call, and goes on with it
    Record(record::Args),
    /// Shows registrations, calls and counts of the running server
    Status(status::Args),
    /// Prints the counts of the running server for Prometheus
    Metrics(status::MetricsArgs),
    /// Provider simulators, for tests and trials
    Lab(crate::lab::Args),
    /// Fetches, shows and tries the speech models of the built-in provider
    Models(crate::models::Args),
}

/// Runs the command line: 0 is success, 1 a failure, 2 a mistake in the command line or configuration.
pub fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{}", explain(&error));
            ExitCode::from(if error.is::<ConfigError>() { WRONG } else { 1 })
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Serve(args) => {
            let config = load(args.config.as_deref())?;
            let _logs = logging::start(&config.log)?;
            let again = || load(args.config.as_deref());
            let runtime = runtime()?;
            runtime.block_on(serve::run(config, again))?;
            // A disk that stalls holds a thread for as long as it likes; nothing is left to wait for.
            runtime.shutdown_timeout(GOODBYE);
        }
        Command::Call(args) => {
            logging::start_quietly();
            return runtime()?.block_on(call::run(*args));
        }
        Command::Demo(args) => {
            logging::start_quietly();
            runtime()?.block_on(demo::run(args))?;
        }
        Command::Config(args) => config::run(&args, &mut io::stdout().lock())?,
        Command::Conversations(args) => {
            logging::start_quietly();
            runtime()?.block_on(conversations::run(&args))?;
        }
        Command::Keys(args) => {
            logging::start_quietly();
            runtime()?.block_on(keys::run(args))?;
        }
        Command::Tokens(args) => {
            logging::start_quietly();
            runtime()?.block_on(tokens::run(args))?;
        }
        Command::Knowledge(args) => {
            logging::start_quietly();
            runtime()?.block_on(knowledge::run(args))?;
        }
        Command::Trace(args) => trace::run(&args)?,
        Command::Calls(args) => calls::run(&args)?,
        Command::Hangup(args) => calls::hang_up(args)?,
        Command::Transfer(args) => calls::transfer(args)?,
        Command::Listen(args) => listen::run(args)?,
        Command::Record(args) => record::run(args)?,
        Command::Status(args) => status::run(&args)?,
        Command::Metrics(args) => status::metrics(&args)?,
        Command::Lab(args) => {
            logging::start_quietly();
            crate::lab::run(&args)?;
        }
        Command::Models(args) => crate::models::run(&args)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}

/// The configuration of a file, of the file that `RAMAL_CONFIG` names, or the built-in one, under this process's
/// environment.
fn load(path: Option<&Path>) -> Result<Config, ConfigError> {
    let env = environment();
    Config::load(path.or_else(|| configured(&env)), &env)
}

/// `RAMAL_CONFIG`; empty is as good as unset.
fn configured(env: &Environment) -> Option<&Path> {
    env.get("RAMAL_CONFIG").filter(|path| !path.is_empty()).map(Path::new)
}

/// Variables whose name or value is not UTF-8 are nobody's setting.
fn environment() -> Environment {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// An error for a person: what went wrong, what it came from, and for a configuration what to do next.
fn explain(error: &anyhow::Error) -> String {
    if let Some(problems) = error.downcast_ref::<ConfigError>() {
        let count = problems.problems.len();
        let mistakes = if count == 1 { "one mistake".to_owned() } else { format!("{count} mistakes") };
        return format!(
            "ramal: {mistakes} in the configuration:\n{problems}\n\
             `ramal config --print-default` shows every key with what is allowed; `ramal config --check FILE` tries a file."
        );
    }
    let mut text = format!("ramal: {error}");
    for cause in error.chain().skip(1) {
        text.push_str(&format!("\n  because {cause}"));
    }
    text
}

/// Whether to colour what goes to standard output (<https://no-color.org>).
fn colourful() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn paint() -> Paint {
    if colourful() { Paint::Ansi } else { Paint::Plain }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn an_empty_variable_names_no_file() {
        for (value, want) in [("", None), ("a.toml", Some(Path::new("a.toml")))] {
            let env = Environment::from([("RAMAL_CONFIG".to_owned(), value.to_owned())]);
            assert_eq!(configured(&env), want);
        }
        assert_eq!(configured(&Environment::new()), None);
    }

    #[test]
    fn errors_say_what_came_of_what() {
        let error = Err::<(), _>(io::Error::other("disk full")).context("cannot record").unwrap_err();
        assert_eq!(explain(&error), "ramal: cannot record\n  because disk full");
        let wrong = Config::parse("[sip]\nmax_calls = 0", "a.toml", &Environment::new()).unwrap_err();
        let text = explain(&wrong.into());
        assert!(text.starts_with("ramal: one mistake in the configuration:\na.toml: sip.max_calls = 0:"), "{text}");
        assert!(text.contains("--print-default"), "{text}");
    }
}
