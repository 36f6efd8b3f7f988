//! `ramal config`: the default configuration, and whether one is right.
use crate::config::{Config, DEFAULT_TOML};
use std::{
    io::{self, Write},
    path::PathBuf,
};

/// Prints the default configuration, or checks one.
#[derive(Clone, Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub struct Args {
    /// Prints a file with every key, its default and what is allowed
    #[arg(long)]
    print_default: bool,
    /// Reads a file and this environment as `serve` would, and names every mistake, and what is hardly meant
    #[arg(long, value_name = "FILE")]
    check: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// The mistakes of the checked file; output that cannot be written.
pub fn run(args: &Args, out: &mut impl Write) -> anyhow::Result<()> {
    match &args.check {
        Some(path) => {
            let config = super::load(Some(path))?;
            written(writeln!(out, "{} is right: {}{}", path.display(), summary(&config), doubts(&config)))?;
        }
        None => written(out.write_all(DEFAULT_TOML.as_bytes()))?,
    }
    Ok(())
}

fn summary(config: &Config) -> String {
    let listeners = config.sip.listeners.iter();
    let on: Vec<String> = listeners.map(|l| format!("{} {}", l.transport.param(), l.address)).collect();
    format!(
        "listens on {}; peers: {}, registrations: {}, secretaries: {}",
        on.join(", "),
        config.peers.len(),
        config.registrations.len(),
        config.secretaries.len()
    )
}

/// What is right, and may not be what is meant: a line each.
fn doubts(config: &Config) -> String {
    config.warnings().iter().flat_map(|warning| ["\nwarning: ", warning.as_str()]).collect()
}

/// A reader that went away (`| head`) is not a failure.
pub(super) fn written(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_printed_as_it_is() {
        let mut out = Vec::new();
        run(&Args { print_default: true, check: None }, &mut out).unwrap();
        assert_eq!(out, DEFAULT_TOML.as_bytes());
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let args = Args { print_default: false, check: Some("/nowhere/ramal.toml".into()) };
        let error = run(&args, &mut Vec::new()).unwrap_err().to_string();
        assert!(error.starts_with("/nowhere/ramal.toml: file: cannot be read"), "{error}");
    }
}
