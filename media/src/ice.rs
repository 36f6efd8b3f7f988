//! ICE-lite (RFC 8445 §2.5): our one address is reachable as it is, so checks are answered and none is sent.
use std::{fmt, net::SocketAddr};

use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

use crate::stun::{Message, Request};

/// RFC 8839 §5.4: what fragments and passwords are written in.
const ICE_CHARS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// What the credentials of one call are made of: random, and known to nobody else.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret([u8; 32]);

/// What the peer signs its checks with: our user fragment and password (RFC 8445 §5.3).
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    pub(crate) fragment: String,
    pub(crate) password: String,
}

/// What became of a datagram that may be a check.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Checked {
    /// It is not STUN.
    NotStun,
    /// It wants no answer.
    Silent,
    /// It is refused with this.
    Refused(Vec<u8>),
    /// It is answered with this.
    Answered {
        response: Vec<u8>,
        /// The peer chose the pair it came over (RFC 8445 §8.1.1), which has this priority for it.
        nominated: Option<u32>,
    },
}

impl Secret {
    /// From 32 bytes of the best randomness there is.
    pub const fn new(random: [u8; 32]) -> Self {
        Self(random)
    }

    /// The credentials of the first (0) or of a later ICE session of the call, after a restart (RFC 8445 §9): 48 bits
    /// of fragment, 144 of password. `None` cannot happen: HMAC takes any key.
    pub(crate) fn credentials(&self, session: u32) -> Option<Credentials> {
        Some(Credentials {
            fragment: self.text("fragment", session, 8)?,
            password: self.text("password", session, 24)?,
        })
    }

    fn text(&self, what: &str, session: u32, length: usize) -> Option<String> {
        let mut mac = Hmac::<Sha1>::new_from_slice(&self.0).ok()?;
        mac.update(what.as_bytes());
        mac.update(&session.to_be_bytes());
        let random = mac.finalize().into_bytes();
        // Base64 with no padding: six bits a character.
        let sixes = random.chunks(3).flat_map(|three| {
            let bits = three.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
            [18, 12, 6, 0].map(|shift| bits >> shift & 63)
        });
        Some(sixes.filter_map(|six| ICE_CHARS.get(six as usize)).map(|c| char::from(*c)).take(length).collect())
    }
}

impl Credentials {
    /// Answers a check (RFC 8445 §7.3): only who read our description can sign one.
    pub(crate) fn check(&self, from: SocketAddr, datagram: &[u8]) -> Checked {
        let request = match Message::parse(datagram) {
            None => return Checked::NotStun,
            Some(Message::Other) => return Checked::Silent,
            Some(Message::Request(request)) => request,
        };
        match self.objection(&request) {
            Some(code) => Checked::Refused(request.fail(code)),
            None => Checked::Answered {
                response: request.succeed(from, &self.password),
                nominated: request.nominates.then_some(request.priority),
            },
        }
    }

    /// RFC 8489 §9.1.3, then §6.3.1.
    fn objection(&self, request: &Request<'_>) -> Option<u16> {
        let Some(username) = request.username.filter(|_| request.is_signed()) else { return Some(400) };
        // RFC 8445 §7.3: our fragment, a colon, the peer's.
        let ours = username.strip_prefix(self.fragment.as_bytes()).is_some_and(|rest| rest.starts_with(b":"));
        if !ours || !request.is_signed_with(&self.password) {
            return Some(401);
        }
        (!request.unknown.is_empty()).then_some(420)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret")
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Credentials").field("fragment", &self.fragment).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stun::tests::check;

    fn credentials(session: u32) -> Credentials {
        Secret::new([7; 32]).credentials(session).unwrap()
    }

    #[test]
    fn rfc8445_5_3_credentials_are_long_enough_and_new_after_a_restart() {
        let (first, second) = (credentials(0), credentials(1));
        assert_eq!((first.fragment.len(), first.password.len()), (8, 24));
        assert!(first.fragment.bytes().chain(first.password.bytes()).all(|c| ICE_CHARS.contains(&c)));
        assert_eq!(credentials(0), first);
        assert!(first.fragment != second.fragment && first.password != second.password);
        assert!(!first.password.starts_with(&first.fragment));
        let debug = format!("{first:?} {:?}", Secret::new([7; 32]));
        assert!(!debug.contains(&first.password) && !debug.contains("7, 7"), "{debug}");
    }

    #[test]
    fn rfc8445_7_3_a_check_is_answered_if_it_is_signed_for_us_and_told_why_if_not() {
        let ours = credentials(0);
        let (name, password) = (format!("{}:them", ours.fragment), ours.password.as_str());
        let code = |datagram: &[u8]| match ours.check("192.0.2.1:9".parse().unwrap(), datagram) {
            Checked::NotStun => -1,
            Checked::Silent => 0,
            Checked::Refused(response) => i32::from(response[26]) * 100 + i32::from(response[27]),
            Checked::Answered { nominated, .. } => 200 + i32::from(nominated.is_some()),
        };
        assert_eq!(code(&check(&name, password, false)), 200);
        assert_eq!(code(&check(&name, password, true)), 201);
        assert_eq!(code(&check(&name, "another password", true)), 401);
        assert_eq!(code(&check(&format!("{}x:them", ours.fragment), password, true)), 401);
        assert_eq!(code(&check(&ours.fragment, password, true)), 401);
        assert_eq!(code(&check(&format!("them:{}", ours.fragment), password, true)), 401);
        let unsigned = [&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], &[5; 12]].concat();
        assert_eq!(code(&unsigned), 400);
        let indication = [&[0, 0x11, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], &[5; 12]].concat();
        assert_eq!(code(&indication), 0);
        assert_eq!(code(&[0x80; 40]), -1);
    }
}
