//! SRTP at the edges of a session: what leaves is protected, and what comes is believed or dropped.
use std::{borrow::Cow, time::Instant};

use super::{
    Session,
    stats::{Stats, Unbelieved},
};
use crate::srtp::{self, Error, Keys, Master, Receiver, Sender, Suite};

/// The keys of a session, in use.
#[derive(Debug)]
pub(super) struct Protection {
    keys: Keys,
    sender: Sender,
    receiver: Receiver,
    /// Of the key before, until the peer uses the new one: its packets may be under way.
    former: Option<(Master, Receiver)>,
    /// What we sent under before.
    left: Option<Master>,
}

/// What a datagram claims to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Rtp,
    Rtcp,
}

impl Protocol {
    /// At the RTP port, which RTCP may share.
    pub(super) fn of(datagram: &[u8]) -> Self {
        if srtp::is_rtcp(datagram) { Self::Rtcp } else { Self::Rtp }
    }
}

impl Protection {
    pub(super) fn new(keys: Keys) -> Self {
        let (sender, receiver) = (Sender::new(&keys.sent), Receiver::new(&keys.received));
        Self { keys, sender, receiver, former: None, left: None }
    }

    /// Whether our numbers can not go on with these. The peer would have to know how often they have wrapped; and under a
    /// key that is gone back to, those of our reports would come again, which no stream may (RFC 3711 §9.1).
    fn needs_source(&self, keys: &Keys) -> bool {
        keys.sent != self.keys.sent && (self.sender.has_turned() || self.left.as_ref() == Some(&keys.sent))
    }

    /// Other keys, or the same: then packets are counted on (RFC 4568 §7.1.4).
    fn renegotiate(&mut self, keys: Keys) {
        if keys.sent != self.keys.sent {
            self.sender = Sender::new(&keys.sent);
            self.left = Some(self.keys.sent.clone());
        }
        if keys.received != self.keys.received {
            let receiver = match self.former.take() {
                // It is gone back to, and what came under it may not come again.
                Some((key, receiver)) if key == keys.received => receiver,
                Some(_) | None => self.receiver.rekeyed(&keys.received),
            };
            self.former = Some((self.keys.received.clone(), std::mem::replace(&mut self.receiver, receiver)));
        }
        self.keys = keys;
    }

    /// Our packets bear another SSRC from here on.
    pub(super) fn renew_source(&mut self) {
        self.sender.renew_source();
    }

    fn protect(&mut self, protocol: Protocol, packet: &mut Vec<u8>) -> Result<(), Error> {
        match protocol {
            Protocol::Rtp => self.sender.protect_rtp(packet),
            Protocol::Rtcp => self.sender.protect_rtcp(packet),
        }
    }

    fn unprotect(&mut self, protocol: Protocol, packet: &mut Vec<u8>) -> Result<(), Error> {
        let opened = unprotect(&mut self.receiver, protocol, packet);
        let Some((_, former)) = &mut self.former else { return opened };
        if opened.is_ok() {
            self.former = None;
            return opened;
        }
        unprotect(former, protocol, packet).or(opened)
    }
}

impl Session {
    /// What was dropped of SRTP so far: of [`Self::stats`] the one figure that is wanted with every packet.
    pub fn unbelieved(&self) -> Unbelieved {
        self.stats.unbelieved
    }

    /// In which suite our packets leave, if it is SRTP: of [`Self::quality`] the one thing that is wanted with every packet.
    pub fn crypto(&self) -> Option<Suite> {
        self.media.srtp.as_ref().map(|keys| keys.sent.suite())
    }

    /// These keys, or none, hold from here on. RFC 3711 §3.3.1 has wraps counted on under another key, and most who set
    /// it up count from zero: where there were any our stream goes on under another SSRC, of which both think the same. So
    /// it does under a key that was in use before.
    pub(super) fn rekey(&mut self, keys: Option<&Keys>, now: Instant) {
        let present = self.protection.as_ref().zip(keys);
        if present.is_some_and(|(protection, keys)| protection.needs_source(keys)) {
            self.change_ssrc("another key", now);
        }
        match (&mut self.protection, keys) {
            (Some(protection), Some(keys)) => protection.renegotiate(keys.clone()),
            (_, keys) => self.protection = keys.cloned().map(Protection::new),
        }
    }

    /// The packet in a datagram, if it may be believed; all are without SRTP.
    pub(super) fn bare<'a>(&mut self, protocol: Protocol, datagram: &'a [u8]) -> Option<Cow<'a, [u8]>> {
        let Some(protection) = &mut self.protection else { return Some(datagram.into()) };
        let mut packet = datagram.to_vec();
        match protection.unprotect(protocol, &mut packet) {
            Ok(()) => Some(packet.into()),
            Err(error) => {
                count(&mut self.stats, error);
                None
            }
        }
    }

    /// A packet of ours as it may leave. `None` once its key is used up: in the clear it never leaves.
    pub(super) fn covered(&mut self, protocol: Protocol, mut packet: Vec<u8>) -> Option<Vec<u8>> {
        if let Some(protection) = &mut self.protection {
            protection.protect(protocol, &mut packet).ok()?;
        }
        Some(packet)
    }
}

fn unprotect(receiver: &mut Receiver, protocol: Protocol, packet: &mut Vec<u8>) -> Result<(), Error> {
    match protocol {
        Protocol::Rtp => receiver.unprotect_rtp(packet),
        Protocol::Rtcp => receiver.unprotect_rtcp(packet),
    }
}

fn count(stats: &mut Stats, error: Error) {
    match error {
        Error::Malformed => stats.malformed += 1,
        Error::Unauthentic | Error::Exhausted => stats.unbelieved.unauthentic += 1,
        Error::Replayed => stats.unbelieved.replayed += 1,
    }
}
