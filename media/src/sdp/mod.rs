//! Session descriptions (RFC 8866) and what the two sides agree on (RFC 3264): one audio stream and its keys.
mod choose;
mod crypto;
mod error;
mod negotiation;
mod parse;
mod print;

pub use choose::audio_address;
pub use error::Error;
pub use negotiation::{Agreed, Negotiation};

use crate::{
    codec::{Codec, opus},
    ice, srtp,
};
use std::{net::SocketAddr, time::Duration};

/// Our side of a description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Local {
    /// Our IP address and RTP port; RTCP is on the next port.
    pub address: SocketAddr,
    /// `o=` session id: the same for the life of the dialog.
    pub session_id: u64,
    /// The codecs we take, best first.
    pub codecs: Vec<Codec>,
    /// Whose order chooses among those both sides have.
    pub preference: Preference,
    /// Length of the packets we ask for, and send unless the peer asks for another.
    pub ptime: Duration,
    /// What we do about comfort noise.
    pub comfort_noise: ComfortNoise,
    /// Offers with ICE are answered as a lite agent with it; without, as if there were none.
    pub ice: Option<ice::Secret>,
    /// With it only SRTP is agreed on, under keys made of it and sent in the description (RFC 4568); without it only plain
    /// RTP. There is nothing in between: what is encrypted if somebody likes is not safe from anybody.
    pub srtp: Option<srtp::Secret>,
}

/// Who decides which of the common codecs an answer of ours has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Preference {
    /// The offerer, whose order costs it no transcoding (RFC 3264 §6.1 recommends it).
    #[default]
    Theirs,
    /// We.
    Ours,
}

/// What we do about comfort noise (RFC 3389): packets that tell how a pause sounds, and after which a side may send
/// nothing until it speaks again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ComfortNoise {
    /// It is not agreed on.
    Off,
    /// The peer may send it, if it offers to.
    #[default]
    Heard,
    /// We offer it, and in our pauses we send it in place of silence where it was agreed on.
    Sent,
}

/// Comfort noise as agreed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AgreedNoise {
    /// Its RTP payload type.
    pub payload_type: PayloadType,
    /// Whether we send it too.
    pub sent: bool,
}

/// An RTP payload type: each side numbers what it receives (RFC 3264 §5.1), so a format may have two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PayloadType {
    /// On packets of ours: the peer's number.
    pub sent: u8,
    /// On packets of the peer: our number.
    pub received: u8,
}

impl PayloadType {
    /// The same both ways.
    pub const fn same(number: u8) -> Self {
        Self { sent: number, received: number }
    }
}

/// Who may send, seen from our side (RFC 3264 §5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Both.
    SendRecv,
    /// Only we: the peer is on hold.
    SendOnly,
    /// Only the peer: we are on hold.
    RecvOnly,
    /// Nobody.
    Inactive,
}

impl Direction {
    /// Whether we send.
    pub const fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    /// Whether the peer sends.
    pub const fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }

    /// The same, seen from the other side.
    #[must_use]
    pub const fn reversed(self) -> Self {
        match self {
            Self::SendRecv => Self::SendRecv,
            Self::SendOnly => Self::RecvOnly,
            Self::RecvOnly => Self::SendOnly,
            Self::Inactive => Self::Inactive,
        }
    }

    /// Only what both allow.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        match (self.sends() && other.sends(), self.receives() && other.receives()) {
            (true, true) => Self::SendRecv,
            (true, false) => Self::SendOnly,
            (false, true) => Self::RecvOnly,
            (false, false) => Self::Inactive,
        }
    }

    const fn attribute(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }
}

/// Telephone events (RFC 4733) as agreed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TelephoneEvent {
    /// Its RTP payload type.
    pub payload_type: PayloadType,
    /// Ticks per second of their timestamps and durations.
    pub clock: u32,
}

/// What both sides agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Negotiated {
    /// Where to send RTP.
    pub remote: SocketAddr,
    /// Where to send RTCP: `a=rtcp` (RFC 3605), or the port after RTP's; with `rtcp_mux`, where RTP goes.
    pub remote_rtcp: SocketAddr,
    /// RTCP shares the RTP port, both ways (RFC 5761).
    pub rtcp_mux: bool,
    /// The codec we send, and the peer as a rule.
    pub codec: Codec,
    /// Its RTP payload type.
    pub payload_type: PayloadType,
    /// What else the peer may send, at any time and without a word: those of our offer that its answer has besides
    /// (RFC 3264 §7). An answer of ours has one codec.
    pub others: Vec<(u8, Codec)>,
    /// What the peer's Opus decoder wants; the default for other codecs.
    pub opus: opus::Receiver,
    /// DTMF as events, if the peer takes them: at the clock of `codec` where that was agreed on.
    pub telephone_event: Option<TelephoneEvent>,
    /// The same at other clocks, which the peer may send where it turns to one of `others`. An answer of ours has none.
    pub other_events: Vec<TelephoneEvent>,
    /// Comfort noise at the clock of `codec`, if it was agreed on.
    pub comfort_noise: Option<AgreedNoise>,
    /// Who may send.
    pub direction: Direction,
    /// Length of the packets we send.
    pub ptime: Duration,
    /// The peer checks the way to us before it sends, and signs its checks with these (RFC 8445).
    pub ice: Option<ice::Credentials>,
    /// Packets are protected under these keys; without them they are plain.
    pub srtp: Option<srtp::Keys>,
}

#[cfg(test)]
mod tests;
