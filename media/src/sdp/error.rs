//! Why a description was refused.
use super::parse::{MAX_BYTES, MAX_LINES, MAX_STREAMS};
use std::net::IpAddr;

/// Why a description was refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Longer than is read.
    #[error("SDP of {bytes} bytes, at most {MAX_BYTES} are read")]
    TooLong {
        /// How long.
        bytes: usize,
    },
    /// More lines than are read.
    #[error("SDP of more than {MAX_LINES} lines")]
    TooManyLines,
    /// More `m=` lines than are read.
    #[error("SDP of more than {MAX_STREAMS} streams")]
    TooManyStreams,
    /// Not RFC 8866 grammar. Line numbers count the lines that matter here (`v= c= m= a=`).
    #[error("not a session description: {0}")]
    Malformed(#[from] sdp_types::ParserError),
    /// No `m=` line at all.
    #[error("SDP without any stream")]
    NoStreams,
    /// Neither the stream nor the session says where to send.
    #[error("SDP without a connection address")]
    NoAddress,
    /// `c=` names something that is no IP address.
    #[error("connection address {0:?} is not an IP address")]
    NotAnIpAddress(String),
    /// The stream is at an address of the IP version that our socket does not speak.
    #[error("their audio is at {theirs}, which {ours} cannot reach")]
    OtherIpVersion {
        /// `c=`.
        theirs: IpAddr,
        /// Where we would take it.
        ours: IpAddr,
    },
    /// Streams, but none of them audio: a fax (T.38) or video alone.
    #[error("no audio stream is open, only {0}")]
    NoAudio(String),
    /// Audio, but none over plain RTP (`RTP/AVP` or `RTP/AVPF`), and SRTP is off.
    #[error("no audio over plain RTP, only {0}, and srtp is off here")]
    NotPlainRtp(String),
    /// Audio, but none over SRTP (`RTP/SAVP` or `RTP/SAVPF`), which is required.
    #[error("no audio over SRTP, only {0}, and srtp is required here")]
    NotSecureRtp(String),
    /// Audio over SRTP, but without an `a=crypto` line that we understand.
    #[error("no key for SRTP in a suite we have")]
    NoCommonSuite,
    /// Plain audio, but in no codec we take.
    #[error("no codec in common, theirs are {0}")]
    NoCommonCodec(String),
    /// An answer, while no offer of ours waits for one.
    #[error("an answer to no offer of ours")]
    NotOffered,
}

impl Error {
    /// The SIP status that says so: 400 to what cannot be understood, 488 to what cannot be accepted
    /// (RFC 3261 §13.3.1.3).
    pub const fn sip_status(&self) -> u16 {
        match self {
            Self::TooLong { .. }
            | Self::TooManyLines
            | Self::TooManyStreams
            | Self::Malformed(_)
            | Self::NoStreams
            | Self::NoAddress
            | Self::NotOffered => 400,
            Self::NotAnIpAddress(_)
            | Self::OtherIpVersion { .. }
            | Self::NoAudio(_)
            | Self::NotPlainRtp(_)
            | Self::NotSecureRtp(_)
            | Self::NoCommonSuite
            | Self::NoCommonCodec(_) => 488,
        }
    }
}
