//! All offers and answers of one dialog (RFC 3264): what was sent last, what stands, and what waits for an answer.
use super::{
    Direction, Error, Local, Negotiated,
    choose::{Choice, choose},
    crypto::Crypto,
    parse::{Description, Ice, PeerIce},
    print::{self, Audio, IceAnswer, Ours},
};
use crate::srtp::{Keys, Master, Suite};
use std::{fmt, net::IpAddr};

/// Our side of the offers and answers of one dialog. An offer that was refused, and one that cannot be answered, leave
/// everything as it was (RFC 3264 §8).
#[derive(Clone)]
pub struct Negotiation {
    local: Local,
    /// The last description sent, and its `o=` version; before the first, nothing and 0.
    sent: (Vec<u8>, u64),
    /// Ours of the last offer that was answered and its answer, as it was sent.
    described: Option<Ours>,
    /// What the last offer and answer settled.
    settled: Option<Ours>,
    /// Our offer that waits for its answer.
    offered: Option<Ours>,
    /// How the peer signs its ICE checks; other credentials start ICE anew.
    peer_ice: Option<PeerIce>,
    /// ICE restarts so far, those that were agreed on.
    ice_session: u32,
    /// The key of the peer's packets that was agreed on last.
    peer_key: Option<Master>,
    /// Keys of ours that were made so far.
    keys_made: u32,
}

/// An answer and what it settles.
#[derive(Clone, PartialEq, Eq)]
pub struct Agreed {
    /// The answer, `application/sdp`.
    pub sdp: Vec<u8>,
    /// What it settles.
    pub media: Negotiated,
}

/// Without the text, which holds keys.
impl fmt::Debug for Agreed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Agreed").field("media", &self.media).finish_non_exhaustive()
    }
}

/// Without texts, which hold keys.
impl fmt::Debug for Negotiation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Negotiation").field("described", &self.described).finish_non_exhaustive()
    }
}

impl Negotiation {
    /// Before the first offer.
    pub const fn new(local: Local) -> Self {
        let sent = (Vec::new(), 0);
        Self {
            local,
            sent,
            described: None,
            settled: None,
            offered: None,
            peer_ice: None,
            ice_session: 0,
            peer_key: None,
            keys_made: 0,
        }
    }

    /// Descriptions from here on bear another address of ours, of the same family.
    pub fn readdress(&mut self, ip: IpAddr) {
        self.local.address.set_ip(ip);
    }

    /// All is as it was before, since what was described meanwhile was never sent. A key that was made is not made again.
    pub fn go_back(&mut self, before: Self) {
        *self = Self { keys_made: self.keys_made, ..before };
    }

    /// Answers an offer: every stream in its order, the first usable one open, all others refused (RFC 3264 §6).
    /// `wanted` is what we would do if the peer let us: [`Direction::SendRecv`] unless we hold.
    ///
    /// # Errors
    /// An offer that cannot be read, or that has nothing for us; [`Error::sip_status`] tells which.
    pub fn answer(&mut self, offer: &[u8], wanted: Direction) -> Result<Agreed, Error> {
        let theirs = Description::parse(offer)?;
        let Choice { index, stream, crypto, mut media } = choose(&theirs, &self.local, wanted, None)?;
        let ice = self.answer_ice(&stream.ice);
        media.ice = ice.credentials().cloned();
        let own = crypto.and_then(|theirs| self.answer_key(theirs));
        media.srtp = self.agree_on(own.as_ref(), crypto);
        let (before, rest) = theirs.streams.split_at(index);
        let ours = Ours {
            before: before.iter().map(print::refused).collect(),
            audio: Audio::agreed(&media, &stream.proto, ice, own),
            after: rest.iter().skip(1).map(print::refused).collect(),
        };
        let sdp = self.write(&ours);
        self.described = Some(ours.clone());
        self.settled = Some(ours);
        self.offered = None;
        Ok(Agreed { sdp, media })
    }

    /// An offer of ours that asks for `wanted`. The first has one audio stream, every codec of ours, telephone events
    /// at the clock of each. A later one, to hold, resume or show all we can (RFC 3261 §14.2), keeps the place of every
    /// stream there ever was, and what was agreed comes first, with its payload types (RFC 3264 §8, §8.3.2). Its keys are
    /// fresh: who answers may be another than before, whom the key in use does not concern, and who cannot know how often
    /// our numbers have wrapped under it (RFC 3711 §3.3.1). They are used from the answer on. For the same reason ICE
    /// starts anew (RFC 8839 §7.5).
    pub fn offer(&mut self, wanted: Direction) -> Vec<u8> {
        let keys = self.fresh_keys();
        let ours = match &self.settled {
            None => Ours::only(Audio::full(&self.local, wanted, keys)),
            Some(settled) => {
                let mut audio = settled.audio.widened(&self.local, wanted, keys);
                audio.ice = self.restarted_ice(&audio.ice);
                Ours { audio, ..settled.clone() }
            }
        };
        let sdp = self.write(&ours);
        self.offered = Some(ours);
        sdp
    }

    /// What we said last was offered again, with its keys, as a refresh of the session does (RFC 4028 §7.4): a peer that
    /// held may resume with its answer. An offer that nobody answered counts for nothing.
    pub fn offered_again(&mut self) {
        self.offered.clone_from(&self.described);
    }

    /// Reads the answer to our offer.
    ///
    /// # Errors
    /// An answer that cannot be read, refuses the stream, or has no codec that we offered; or there was no offer.
    pub fn accept(&mut self, answer: &[u8]) -> Result<Negotiated, Error> {
        let offered = self.offered.take().ok_or(Error::NotOffered)?;
        self.described = Some(offered.clone());
        let theirs = Description::parse(answer)?;
        let wanted = offered.audio.direction;
        let Choice { stream, crypto, mut media, .. } = choose(&theirs, &self.local, wanted, Some(&offered.audio))?;
        let ice = self.accept_ice(&stream.ice, &offered.audio.ice);
        media.ice = ice.credentials().cloned();
        let own = crypto.and_then(|theirs| offered.audio.crypto(theirs.master.suite())).cloned();
        media.srtp = self.agree_on(own.as_ref(), crypto);
        let audio = Audio::agreed(&media, &offered.audio.proto, ice, own);
        self.settled = Some(Ours { audio, ..offered });
        Ok(media)
    }

    fn answer_ice(&mut self, theirs: &Ice) -> IceAnswer {
        let Some(secret) = &self.local.ice else { return IceAnswer::None };
        let theirs = match theirs {
            Ice::Absent => return IceAnswer::None,
            Ice::Mismatched => return IceAnswer::Mismatch,
            Ice::Offered(theirs) => theirs,
        };
        if self.peer_ice.replace(theirs.clone()).is_some_and(|before| before != *theirs) {
            self.ice_session = self.ice_session.wrapping_add(1);
        }
        secret.credentials(self.ice_session).map_or(IceAnswer::None, IceAnswer::Lite)
    }

    /// ICE by the peer's answer to an offer of ours that had `offered`.
    fn accept_ice(&mut self, theirs: &Ice, offered: &IceAnswer) -> IceAnswer {
        let (Ice::Offered(theirs), Some(ours)) = (theirs, offered.credentials()) else { return IceAnswer::None };
        self.peer_ice = Some(theirs.clone());
        let present = self.local.ice.as_ref().and_then(|secret| secret.credentials(self.ice_session));
        if present.as_ref() != Some(ours) {
            self.ice_session = self.ice_session.wrapping_add(1);
        }
        offered.clone()
    }

    /// Where ICE is used, the credentials of its next session, which begins with the answer: until then those of the
    /// present one hold. What was wrong with an offer of the peer's is for its answer to say only.
    fn restarted_ice(&self, present: &IceAnswer) -> IceAnswer {
        let secret = self.local.ice.as_ref().filter(|_| present.credentials().is_some());
        let next = secret.and_then(|secret| secret.credentials(self.ice_session.wrapping_add(1)));
        next.map_or(IceAnswer::None, IceAnswer::Lite)
    }

    /// Our key for the answer to a line of the peer's, whose tag it bears. As long as the peer keeps its key we keep ours;
    /// with a new one of its it may begin to count packets anew, and what we sent under the old one is nothing it knows of
    /// (RFC 4568 §7.1.4).
    fn answer_key(&mut self, theirs: &Crypto) -> Option<Crypto> {
        let suite = theirs.master.suite();
        let kept = self.settled.as_ref().and_then(|settled| settled.audio.crypto(suite));
        let kept = kept.filter(|_| self.peer_key.as_ref() == Some(&theirs.master)).map(|own| own.master.clone());
        let master = kept.or_else(|| self.make_key(suite))?;
        Some(Crypto { tag: theirs.tag, master })
    }

    /// A new key in every suite we have, that in use first, each its own (RFC 4568 §6.1); none without SRTP.
    fn fresh_keys(&mut self) -> Vec<Crypto> {
        let used = self.settled.as_ref().and_then(|settled| settled.audio.cryptos.first());
        let used = used.map(|crypto| crypto.master.suite());
        let mut suites = Suite::ALL;
        suites.sort_by_key(|suite| Some(*suite) != used);
        let keys = (1..).zip(suites);
        keys.filter_map(|(tag, suite)| Some(Crypto { tag, master: self.make_key(suite)? })).collect()
    }

    fn make_key(&mut self, suite: Suite) -> Option<Master> {
        let master = self.local.srtp.as_ref()?.master(suite, self.keys_made)?;
        self.keys_made = self.keys_made.checked_add(1)?;
        Some(master)
    }

    fn agree_on(&mut self, own: Option<&Crypto>, theirs: Option<&Crypto>) -> Option<Keys> {
        let (own, theirs) = own.zip(theirs)?;
        self.peer_key = Some(theirs.master.clone());
        Some(Keys { sent: own.master.clone(), received: theirs.master.clone() })
    }

    /// RFC 3264 §8: the version goes up by one if anything differs from what was sent last, else it stays.
    fn write(&mut self, ours: &Ours) -> Vec<u8> {
        let (sent, version) = &mut self.sent;
        if print::session(&self.local, *version, ours) != *sent {
            *version += 1;
            *sent = print::session(&self.local, *version, ours);
        }
        self.sent.0.clone()
    }
}
