//! One program, one sentence: text in, bytes out, killed at its deadline.
use super::Error;
use std::{
    io::{self, Read, Write},
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

/// Longest a program may take for a sentence.
const DEADLINE: Duration = Duration::from_secs(8);
/// Most output read: five minutes of the best voice.
const MOST: u64 = 32 << 20;

/// Runs a program with `input` on its standard input, and returns what it wrote.
///
/// # Errors
/// It cannot be started, does not take its input, or is not done at the deadline.
pub(super) fn run(command: &mut Command, input: &str, program: &str) -> Result<Vec<u8>, Error> {
    run_within(DEADLINE, command, input, program)
}

fn run_within(deadline: Duration, command: &mut Command, input: &str, program: &str) -> Result<Vec<u8>, Error> {
    let failed = |reason| Error::Program { program: program.to_owned(), reason };
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().map_err(failed)?;
    let streams = child.stdin.take().zip(child.stdout.take());
    let (mut stdin, stdout) = streams.ok_or_else(|| failed(io::Error::other("it has no pipes")))?;
    let (done, output) = mpsc::sync_channel(1);
    let reader = thread::Builder::new().name("voice-pipe".into()).spawn(move || {
        let mut bytes = Vec::new();
        let read = stdout.take(MOST).read_to_end(&mut bytes).map(|_| bytes);
        // Nobody waits for it any more when the deadline has passed.
        let _ = done.send(read);
    });
    // A sentence fits the pipe's buffer, so this does not wait for the program to read.
    let written = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = output.recv_timeout(deadline);
    if output.is_err() {
        // It may have ended in this very moment.
        let _ = child.kill();
    }
    // A program that closed its output is about to end, and a killed one has.
    child.wait().map_err(failed)?;
    if let Ok(reader) = reader {
        // It only reads: it cannot panic.
        let _ = reader.join();
    }
    written.map_err(failed)?;
    match output {
        Ok(bytes) => bytes.map_err(failed),
        Err(_) => Err(Error::Deadline { program: program.to_owned(), seconds: deadline.as_secs() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_goes_in_and_bytes_come_out() {
        assert_eq!(run(&mut Command::new("cat"), "olá\n", "cat").unwrap(), "olá\n".as_bytes());
    }

    #[test]
    fn what_hangs_is_killed_and_what_is_absent_is_named() {
        let error = run_within(Duration::from_millis(50), Command::new("sleep").arg("60"), "", "sleep").unwrap_err();
        assert!(matches!(error, Error::Deadline { .. }), "{error}");
        let error = run(&mut Command::new("/no/such/voice"), "", "voice").unwrap_err();
        assert!(error.to_string().starts_with("voice: "), "{error}");
    }
}
