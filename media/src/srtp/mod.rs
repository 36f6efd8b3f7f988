//! SRTP and SRTCP (RFC 3711, RFC 6188, RFC 7714): packets are protected, and laid bare again, in place.
//!
//! Of a packet nothing is kept before its tag has proved that a holder of the key made it: no source, no rollover
//! counter, no place in the replay window. So whoever sprays packets at a port costs time and nothing else.
mod counter;
mod derivation;
mod gcm;
mod header;
mod master;
mod receiver;
mod sender;
mod suite;
#[cfg(test)]
mod tests;
mod transform;

pub use header::is_rtcp;
pub use master::{Keys, Master, Secret};
pub use receiver::Receiver;
pub use sender::Sender;
pub use suite::Suite;

/// Why a packet was not protected, or not believed. It is left as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Too short, not version 2, or a header that reaches beyond the packet.
    #[error("not a packet that can be protected")]
    Malformed,
    /// Its tag is not of this key: forged, damaged, or of another key.
    #[error("the authentication tag is wrong")]
    Unauthentic,
    /// Seen before, or older than the replay window (RFC 3711 §3.3.2); or, of ours, sent before.
    #[error("a packet that was there before")]
    Replayed,
    /// The key has protected all that it may (RFC 3711 §9.2), or too many sources.
    #[error("the key is used up")]
    Exhausted,
}
