//! Media core without IO: RTP packets become caller audio, assistant audio becomes RTP packets.
//!
//! No sockets, no clock, no tasks: `now` and the seed are arguments. A driver feeds datagrams and deadlines in, and
//! takes datagrams and events out. Sample counts live here, because what left as RTP is what the caller heard.
pub mod audio;
pub mod codec;
pub mod conceal;
pub mod dtmf;
pub mod echo;
pub mod ice;
pub mod latch;
pub mod noise;
pub mod playout;
pub mod prompt;
pub mod quality;
pub mod recording;
pub mod reorder;
pub mod resample;
pub mod rtcp;
pub mod rtp;
pub mod sdp;
pub mod session;
pub mod srtp;
mod stun;
pub mod suppress;
pub mod vad;

pub use audio::{Audio, AudioFormat, Frame, Heard, Law, SampleRate, Speech, UtteranceId};
pub use quality::Loss;
pub use session::{
    Channel, Config, Error, Event, Jitter, Pacing, Patience, Poor, Quality, Session, Silence, Stats, Transmit,
    Unbelieved, Way, WayQuality,
};

#[cfg(test)]
mod testing;
