//! The services a conversation of separate parts is made of, simulated at one address: the listening sockets of Deepgram
//! (nova and Flux), transcriptions, chat completions over SSE, and the voices of OpenAI, Deepgram, ElevenLabs and Piper.
//! A script stands for the recogniser's ear and the model's mind; speech is real (diphones), and comes as late as the
//! vendors say that theirs does.
//!
//! Not simulated: containers and encodings that a phone has no use for, diarization, voices over WebSockets.
mod answer;
mod hum;
mod listener;
mod mind;
mod script;
mod server;
mod transcripts;
mod voices;

pub use self::{
    answer::{Answer, House},
    listener::Listener,
    script::{Faults, PartFault, Reply, Script},
    server::Server,
};
pub use super::{
    script::{Say, ScriptedCall},
    server::{Departure, Direction, Logged, Tls},
    voice::Voice,
};

pub(in crate::lab) use self::server::run;

#[cfg(test)]
mod tests;
