//! `ramal`, the program.
use std::process::ExitCode;

fn main() -> ExitCode {
    ramal::cli::main()
}
