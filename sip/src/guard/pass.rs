//! Passes: each lets one call in, whoever is welcome otherwise. For calls that the owner of the endpoint places to it.
use crate::message::{Method, Name, Request};
use std::{collections::VecDeque, fmt, net::IpAddr, time::Instant};
use subtle::ConstantTimeEq;

/// Passes that are good at one time; beyond it the oldest is not any more.
const MOST: usize = 16;

/// Lets one INVITE in, from one address, that brings its secret as a bearer token (RFC 8898 §2.2).
#[derive(Clone, PartialEq, Eq)]
pub struct Pass {
    /// Whom it makes of the caller, as if he had proved it: [`user`](crate::IncomingInvite::user) of the INVITE.
    pub user: String,
    /// What nobody may guess, as it stands in the header.
    pub secret: String,
    /// Where the INVITE comes from.
    pub source: IpAddr,
    /// From then on it is good no more.
    pub until: Instant,
}

impl fmt::Debug for Pass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pass").field("user", &self.user).field("source", &self.source).finish_non_exhaustive()
    }
}

/// Those that are good.
#[derive(Debug, Default)]
pub(super) struct Passes(VecDeque<Pass>);

impl Passes {
    pub(super) fn add(&mut self, pass: Pass) {
        if self.0.len() >= MOST {
            self.0.pop_front();
        }
        self.0.push_back(pass);
    }

    /// The user of the pass that a request brings, which is good no more.
    pub(super) fn take(&mut self, request: &Request, source: IpAddr, now: Instant) -> Option<String> {
        self.0.retain(|pass| pass.until > now);
        if self.0.is_empty() || request.method != Method::Invite {
            return None;
        }
        let shown = request.headers.all(Name::Authorization).find_map(bearer)?;
        let at = self.0.iter().position(|pass| {
            let same = bool::from(pass.secret.as_bytes().ct_eq(shown.as_bytes()));
            same && pass.source.to_canonical() == source.to_canonical()
        })?;
        self.0.remove(at).map(|pass| pass.user)
    }
}

fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
