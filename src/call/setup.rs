//! What a call begins with.
use super::{Rung, Settings, Standby};
use crate::secretary::Secretary;
use chrono::{DateTime, Utc};
use sip::{IncomingInvite, LegId};
use std::net::{IpAddr, SocketAddr};
use uuid::Uuid;

/// What a call is made of.
#[derive(Debug)]
pub struct Setup {
    /// The leg its INVITE made.
    pub leg: LegId,
    /// That INVITE.
    pub invite: IncomingInvite,
    /// The secretary as she was at that moment.
    pub secretary: Secretary,
    /// Her provider.
    pub rung: Rung,
    /// Who goes on when it fails, in this order.
    pub below: Vec<Rung>,
    /// What speaks to the caller while none of them does.
    pub standby: Option<Standby>,
    /// What every call is held to.
    pub settings: Settings,
    /// Where its audio is received.
    pub local: Here,
    /// Source of every random number of this call.
    pub seed: u64,
    /// What the peer has to know of before it can move the call's audio by ICE.
    pub ice: media::ice::Secret,
    /// With it the audio is SRTP, under keys made of it; without it, plain RTP.
    pub srtp: Option<media::srtp::Secret>,
    /// Identity of the record.
    pub conversation_uuid: Uuid,
    /// Wall time of `now` at [`Call::new`].
    pub started_at: DateTime<Utc>,
}

/// One socket for RTP, as peers must see it; RTCP is the next port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Here {
    /// For the caller.
    pub address: SocketAddr,
    /// For who takes the call over, by the listener that the INVITE came to; who came by none of these is told what the
    /// leg before was.
    pub by_listener: Vec<IpAddr>,
}

impl From<SocketAddr> for Here {
    /// The same for everybody.
    fn from(address: SocketAddr) -> Self {
        Self { address, by_listener: Vec::new() }
    }
}
