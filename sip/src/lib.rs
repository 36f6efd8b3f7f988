//! SIP core without IO: bytes and deadlines in; bytes, events and the next deadline out.
//!
//! No sockets, no clock, no randomness of its own, no locks. Bodies are bytes: this crate knows nothing of SDP.
pub mod auth;
pub mod error;
pub mod framing;
pub mod leg;
pub mod message;
pub mod uri;

pub use leg::{
    Command, Event, IncomingInvite, LegId, OfferMethod, Reason, ReferProgress, Registration, RegistrationId,
    RegistrationState, TerminatedBy, Transmit, Transport,
};
