//! Silero VAD at 8 kHz: a small recurrent network that tells speech from everything else, hearing one stream.
use super::network::{CHUNK, CONTEXT, Memory, Network};
use std::sync::OnceLock;

const FULL_SCALE: f32 = 32_768.0;

/// The network cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the built-in Silero model does not load")]
pub struct Error;

/// Read once, then the same for every call.
fn network() -> Result<&'static Network, Error> {
    static NETWORK: OnceLock<Option<Network>> = OnceLock::new();
    NETWORK.get_or_init(Network::load).as_ref().ok_or(Error)
}

/// One stream's memory.
pub(super) struct Silero {
    network: &'static Network,
    memory: Memory,
    /// The context, and behind it room for a chunk.
    window: [f32; CONTEXT + CHUNK],
}

impl Silero {
    /// A listener that has heard nothing.
    ///
    /// # Errors
    /// The model in the binary does not load.
    pub(super) fn new() -> Result<Self, Error> {
        Ok(Self { network: network()?, memory: Memory::EMPTY, window: [0.0; CONTEXT + CHUNK] })
    }

    /// Forgets what it heard.
    pub(super) fn reset(&mut self) {
        self.memory = Memory::EMPTY;
        self.window.fill(0.0);
    }

    /// How likely `chunk` is speech, 0 to 1, in the light of the chunks before it.
    pub(super) fn probability(&mut self, chunk: &[i16; CHUNK]) -> f32 {
        self.window.copy_within(CHUNK.., 0);
        for (slot, sample) in self.window.iter_mut().skip(CONTEXT).zip(chunk) {
            *slot = f32::from(*sample) / FULL_SCALE;
        }
        self.network.probability(&self.window, &mut self.memory)
    }
}

impl std::fmt::Debug for Silero {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Silero")
    }
}
