//! Digest authentication: RFC 7616 as SIP uses it, RFC 3261 §22 and RFC 8760.
mod challenge;
mod client;
mod hash;
pub(crate) mod server;

pub use challenge::{Challenge, Qop, choose, header_names};
pub(crate) use client::Session;
pub use hash::{Algorithm, Hash};
pub use server::User;
use std::fmt;

/// Who somebody is: we to a peer, or a peer to us. The password shows in no `Debug` output.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// User of the digest.
    pub user: String,
    /// Its password.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({})", self.user)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_stays_out_of_logs() {
        let credentials = Credentials { user: "u".into(), password: "hidden".into() };
        assert!(!format!("{credentials:?}").contains("hidden"));
    }
}
