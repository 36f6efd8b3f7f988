//! SIGTERM and SIGINT, which both ask for a polite end, and SIGHUP, which asks a server to read its configuration again.
use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that ask for an end; from here on neither ends the process by itself.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next of either.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// SIGHUP; from here on it does not end the process by itself.
pub(super) struct Hangups(Signal);

impl Hangups {
    pub(super) fn new() -> io::Result<Self> {
        signal(SignalKind::hangup()).map(Self)
    }

    /// Waits for the next.
    pub(super) async fn next(&mut self) {
        // `None` would mean that no more can come; then none is waited for.
        if self.0.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}
