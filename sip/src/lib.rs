//! SIP core without IO: bytes and deadlines in; bytes, events and the next deadline out.
//!
//! No sockets, no clock, no randomness of its own, no locks. Bodies are bytes: this crate knows nothing of SDP.
pub mod auth;
mod body;
mod dialog;
pub mod endpoint;
pub mod error;
pub mod framing;
pub mod guard;
pub mod leg;
pub mod locate;
pub mod message;
mod register;
mod transaction;
pub mod transport;
pub mod uri;

pub use body::Body;
pub use endpoint::{Config, Endpoint, OutgoingInvite, SESSION_EXPIRES, Stats};
pub use guard::{Network, Pass, Policy, Rate, Strangers};
pub use leg::{
    Command, Event, IncomingInvite, LegId, OfferMethod, Reason, ReferProgress, Registration, RegistrationId,
    RegistrationState, TerminatedBy, Way,
};
pub use register::Standing;
pub use transport::{Hop, Listener, ListenerId, Transmit, Transport};
