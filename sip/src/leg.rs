//! What the owner of an [`Endpoint`](crate::endpoint::Endpoint) tells it and hears from it, one leg (dialog) at a time.
//!
//! Transactions, retransmissions, CSeq, tags, routes and authentication stay inside; only decisions come out.
use crate::{
    body::Body,
    locate::Target,
    transport::{ListenerId, Transport},
    uri::Uri,
};
use std::{fmt, net::SocketAddr, time::Duration};

/// One leg: an INVITE and the dialog it makes, ours or the peer's. Never reused in one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LegId(pub u64);

impl fmt::Display for LegId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "leg-{}", self.0)
    }
}

/// A `Reason` header (RFC 3326): protocol, cause and text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// `SIP` or `Q.850`.
    pub protocol: String,
    /// The code, e.g. 16 for Q.850 normal clearing.
    pub cause: Option<u16>,
    /// Human text.
    pub text: Option<String>,
}

/// A new call for us. `100 Trying` has been sent; answer with [`Command`]s.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IncomingInvite {
    /// Where the INVITE came from, for trust decisions.
    pub remote: SocketAddr,
    /// Where it came in.
    pub listener: ListenerId,
    /// The user who proved by digest, or by a [pass](crate::Pass), that it is his; `None` where the address is proof enough.
    pub user: Option<String>,
    /// Over what.
    pub transport: Transport,
    /// `Call-ID`, for logs and records.
    pub call_id: String,
    /// User part of the R-URI, unescaped: the called secretary.
    pub request_user: String,
    /// Host part of the R-URI.
    pub request_host: String,
    /// User part of From: the caller's number.
    pub from_user: String,
    /// Display name of From, unquoted; empty if none.
    pub from_display: String,
    /// User part of To.
    pub to_user: String,
    /// Every header whose name starts with `X-`, as received, in order.
    pub x_headers: Vec<(String, String)>,
    /// The offer, or `None` when the INVITE has no body (the answer comes with ACK).
    pub offer: Option<Body>,
}

/// What the owner wants. Commands for a leg that is gone are ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// 180 to a waiting INVITE.
    Ring {
        /// Which leg.
        leg: LegId,
    },
    /// 200 to a waiting INVITE; `sdp` is the answer, or our offer if the INVITE had none.
    Answer {
        /// Which leg.
        leg: LegId,
        /// `application/sdp` body.
        sdp: Body,
    },
    /// 200 to a waiting INVITE that asks for the place of a leg (RFC 3891 §3), and BYE to that leg; neither where the
    /// INVITE is over, as it was cancelled: [`Event::Cancelled`] tells, and the leg that it named goes on.
    TakeOver {
        /// The leg of the INVITE.
        leg: LegId,
        /// `application/sdp` body, as of [`Command::Answer`].
        sdp: Body,
        /// Whose place it has from here on.
        old: LegId,
        /// `Reason` header of the BYE.
        reason: Option<Reason>,
    },
    /// A final error to a waiting INVITE.
    Reject {
        /// Which leg.
        leg: LegId,
        /// 300–699.
        status: u16,
        /// `Reason` header to add.
        reason: Option<Reason>,
        /// Extra headers, e.g. `Retry-After` or `Warning`.
        headers: Vec<(String, String)>,
    },
    /// 200 to a pending re-INVITE or UPDATE ([`Event::Offer`]).
    AcceptOffer {
        /// Which leg.
        leg: LegId,
        /// The answer (or our offer, if theirs was empty).
        sdp: Body,
    },
    /// A final error to a pending re-INVITE or UPDATE; the session stays as it was.
    RefuseOffer {
        /// Which leg.
        leg: LegId,
        /// E.g. 488.
        status: u16,
        /// `Reason` header to add.
        reason: Option<Reason>,
    },
    /// Our re-INVITE with this offer; the outcome is [`Event::OfferAnswered`].
    Reinvite {
        /// Which leg.
        leg: LegId,
        /// The offer.
        sdp: Body,
    },
    /// Ends the leg: BYE when confirmed, CANCEL or 487/480 before.
    Bye {
        /// Which leg.
        leg: LegId,
        /// `Reason` header to add.
        reason: Option<Reason>,
    },
    /// REFER (RFC 3515); progress comes as [`Event::Refer`].
    Refer {
        /// Which leg.
        leg: LegId,
        /// URI without angle brackets and headers, e.g. `sip:1000@pbx.example`. The owner has validated it.
        refer_to: String,
        /// A leg that is up, with that target: it is offered in exchange for ours (attended transfer, RFC 3891).
        replaces: Option<LegId>,
        /// How long to wait for a final NOTIFY after the 202 before [`ReferProgress::NoNotify`].
        notify_deadline: Duration,
    },
    /// INFO with a body (DTMF relay).
    Info {
        /// Which leg.
        leg: LegId,
        /// E.g. `application/dtmf-relay`.
        content_type: String,
        /// The body.
        body: Body,
    },
}

/// How a re-offer reached us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OfferMethod {
    /// re-INVITE.
    Invite,
    /// UPDATE (RFC 3311).
    Update,
}

/// What became of our REFER.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReferProgress {
    /// 2xx to the REFER: taken on, nothing more.
    Accepted,
    /// The REFER itself was refused with this status (408 when it timed out).
    Refused(u16),
    /// A NOTIFY with this sipfrag status. `terminated` is its Subscription-State.
    Notified {
        /// Status in the sipfrag.
        status: u16,
        /// The subscription ended with this NOTIFY.
        terminated: bool,
    },
    /// The deadline passed without a final NOTIFY.
    NoNotify,
}

/// Why a leg is gone without a BYE of the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TerminatedBy {
    /// We ended it; the BYE (or error) transaction is over.
    Us,
    /// Our 200 was never ACKed (RFC 3261 §13.3.1.4), after our BYE.
    NoAck,
    /// Our ringing was never acknowledged by a PRACK it had to have (RFC 3262 §3), after our 504.
    NoPrack,
    /// A request in the dialog got 408 or 481, or timed out.
    PeerGone,
    /// Nobody answered a refresh of the session in time (RFC 4028 §10).
    SessionExpired,
}

/// What the owner must know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A call for us; 100 is on its way.
    Incoming {
        /// New leg.
        leg: LegId,
        /// Who, whom, with what.
        invite: Box<IncomingInvite>,
        /// The leg whose place it asks for (Replaces, RFC 3891). Who grants that answers by [`Command::TakeOver`]; who
        /// refuses leaves the other leg as it is.
        replaces: Option<LegId>,
    },
    /// The caller gave up before we answered (CANCEL); 487 is on its way. The leg is gone.
    Cancelled {
        /// Which leg.
        leg: LegId,
        /// Its Reason, e.g. that somebody else answered (SIP 200).
        reason: Option<Reason>,
    },
    /// Incoming leg: ACK arrived, with the answer if the INVITE had no offer. Outgoing leg: 200 arrived, ACK sent.
    Established {
        /// Which leg.
        leg: LegId,
        /// The peer's SDP in this message, if any.
        sdp: Option<Body>,
    },
    /// Outgoing leg: a provisional response above 100.
    Progress {
        /// Which leg.
        leg: LegId,
        /// 101–199.
        status: u16,
        /// Early media, if any.
        sdp: Option<Body>,
    },
    /// Outgoing leg: refused, timed out (408) or unreachable (503). The leg is gone.
    Failed {
        /// Which leg.
        leg: LegId,
        /// Final status.
        status: u16,
        /// `Reason` of the response, if any.
        reason: Option<Reason>,
        /// Of a 3xx: URIs to try in its stead, the most wanted first (RFC 3261 §8.1.3.4). Whether to is the owner's to say:
        /// who redirects a call decides where it goes, and who pays.
        contacts: Vec<String>,
    },
    /// re-INVITE or UPDATE with SDP (or an offerless re-INVITE): answer with `AcceptOffer` or `RefuseOffer`.
    Offer {
        /// Which leg.
        leg: LegId,
        /// How it came.
        method: OfferMethod,
        /// The offer; `None` asks us for one, and the peer's answer comes as `Established`.
        sdp: Option<Body>,
    },
    /// The outcome of our re-INVITE: the answer, or the status that refused it.
    OfferAnswered {
        /// Which leg.
        leg: LegId,
        /// SDP answer or status.
        result: Result<Body, u16>,
    },
    /// INFO in the dialog; 200 has been sent.
    Info {
        /// Which leg.
        leg: LegId,
        /// Lower case, without parameters.
        content_type: String,
        /// The body.
        body: Body,
    },
    /// Our INFO was refused, and the call goes on.
    InfoRefused {
        /// Which leg.
        leg: LegId,
        /// The status that refused it.
        status: u16,
    },
    /// Our REFER moved on.
    Refer {
        /// Which leg.
        leg: LegId,
        /// How.
        progress: ReferProgress,
    },
    /// The peer hung up; 200 is on its way. The leg is gone.
    Bye {
        /// Which leg.
        leg: LegId,
        /// Its Reason.
        reason: Option<Reason>,
    },
    /// The leg is gone for another reason. Sent once, also after our own `Bye`.
    Terminated {
        /// Which leg.
        leg: LegId,
        /// Why.
        by: TerminatedBy,
    },
    /// A request of ours may go to the server of this URI, which is a name: where it is, RFC 3263 says, and
    /// [`Endpoint::located`](crate::Endpoint::located) wants to know. Without an answer requests go where the peer's
    /// messages come from.
    Locate {
        /// Scheme, host, port and transport.
        server: Uri,
    },
    /// Somebody who may not call was turned away; told once of each, and not of many in a row.
    Stranger {
        /// Who.
        remote: SocketAddr,
    },
    /// A registration changed its state.
    Registration {
        /// Which.
        id: RegistrationId,
        /// New state.
        state: RegistrationState,
    },
}

impl Event {
    /// The leg it is about; `None` for one about a registration, a stranger or a name.
    pub fn leg(&self) -> Option<LegId> {
        match self {
            Self::Incoming { leg, .. }
            | Self::Cancelled { leg, .. }
            | Self::Established { leg, .. }
            | Self::Progress { leg, .. }
            | Self::Failed { leg, .. }
            | Self::Offer { leg, .. }
            | Self::OfferAnswered { leg, .. }
            | Self::Info { leg, .. }
            | Self::InfoRefused { leg, .. }
            | Self::Refer { leg, .. }
            | Self::Bye { leg, .. }
            | Self::Terminated { leg, .. } => Some(*leg),
            Self::Registration { .. } | Self::Stranger { .. } | Self::Locate { .. } => None,
        }
    }
}

/// One registration, numbered by the owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegistrationId(pub u32);

/// What to register, and with whom.
#[derive(Clone, PartialEq, Eq)]
pub struct Registration {
    /// Addresses of the registrar, or of the outbound proxy, the one to try first in front.
    pub targets: Vec<Target>,
    /// The outbound proxy, if REGISTER goes by one: what its Route says.
    pub proxy: Option<Uri>,
    /// Domain of the address of record, also the R-URI host: FusionPBX's domain name.
    pub domain: String,
    /// User of the address of record: the extension or gateway user.
    pub user: String,
    /// User for the digest, mostly the same.
    pub auth_user: String,
    /// Its password; never in `Debug`.
    pub password: String,
    /// User part of our Contact: what FreeSWITCH puts in the R-URI of calls to us.
    pub contact_user: String,
    /// Expiry to ask for.
    pub expires: Duration,
    /// How often the registrar is asked by OPTIONS whether it is there; `None` for never. Silence counts as that of a
    /// REGISTER does.
    pub ping: Option<Duration>,
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Registration({}@{})", self.user, self.domain)
    }
}

/// The way of the requests of one account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// Where its last REGISTER went.
    pub target: Target,
    /// The `Route` header that leads by the outbound proxy (RFC 3261 §8.1.1.1).
    pub route: Option<String>,
}

/// State of one registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegistrationState {
    /// REGISTER is on its way.
    Trying,
    /// The registrar has our contact for this long; refreshed before.
    Registered {
        /// Granted expiry.
        expires: Duration,
    },
    /// Refused or unreachable; tried again after this long.
    Failed {
        /// Last status; 408 for silence, 503 for an unreachable registrar.
        status: u16,
        /// Until the next try.
        retry_in: Duration,
    },
    /// Unregistered by us.
    Removed,
}

impl RegistrationState {
    /// Whether every address of the registrar has failed, as RFC 3263 §4.3 has it: other addresses may help.
    pub fn is_unanswered(&self) -> bool {
        match self {
            Self::Failed { status, .. } => matches!(status, 408 | 503),
            Self::Trying | Self::Registered { .. } | Self::Removed => false,
        }
    }
}
