//! `ramal`, the program.
use std::process::ExitCode;

/// Years of calls that come and go must not make it larger. What glibc keeps is the most that each thread ever needed;
/// this gives back what has not been used for ten seconds, by a thread of its own and never on one of media.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    ramal::cli::main()
}
