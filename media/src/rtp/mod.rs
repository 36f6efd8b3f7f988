//! RTP (RFC 3550): packets, the sequence space, and what a receiver counts.
mod packet;
mod receiver;
mod sender;
mod sequence;

pub use packet::{Packet, PacketError};
pub use receiver::Receiver;
pub use sender::Sender;
pub(crate) use sender::mix;
pub(crate) use sequence::nearest;
pub use sequence::{Arrival, Sequence};
