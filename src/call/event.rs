//! What a call tells its driver.
use super::recording::Order;
use crate::{
    breaker::{Circuit, Sign},
    record::{Change, Conversation, MediaQuality, Waterfall},
};
use media::{Heard, UtteranceId, sdp::Direction};
use providers::{Endpoint, Receipt};
use std::time::Duration;

/// Something the driver must do, or a person watching wants to see.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Connect to the provider; answer with `handle_connected` or `handle_disconnected`.
    Connect(Endpoint),
    /// Drop the connection to the provider, if there is one: what still comes of it is nobody's.
    Disconnect,
    /// Connect beside the connection that is in use, and keep what is heard; answer with `handle_ahead`.
    Prepare(Endpoint),
    /// Go on over the connection that was prepared or, without one, connect again; answer as to `Connect`, and with what
    /// was heard.
    Reconnect(Endpoint),
    /// A provider will tell there, when the call is over, what it cost.
    Receipt(Receipt),
    /// 200 went out: the conversation begins.
    Answered,
    /// The local detector heard the caller begin.
    CallerSpeaks,
    /// The caller said this.
    CallerText(String),
    /// The caller pressed this.
    Dtmf(char),
    /// The first packet of an utterance left. `latency` counts from the caller's last voice, when this is a reply
    /// before which the call was not held.
    AssistantSpeaks {
        /// Which utterance.
        utterance: UtteranceId,
        /// Turn latency in RTP time.
        latency: Option<Duration>,
        /// What that time was spent on.
        waterfall: Option<Waterfall>,
    },
    /// Words of the assistant, perhaps ahead of the audio.
    AssistantText {
        /// Of which utterance.
        utterance: UtteranceId,
        /// To be appended.
        delta: String,
    },
    /// All of an utterance has been heard.
    PlayedOut(Heard),
    /// The caller cut the assistant off after this much.
    BargeIn(Heard),
    /// REFER went out to this destination.
    TransferStarted {
        /// An extension or number.
        destination: String,
    },
    /// The caller is with us again, or still.
    TransferFailed {
        /// An extension or number.
        destination: String,
        /// In plain English.
        reason: String,
    },
    /// What a conversation with a provider came to: for whoever decides where the next calls begin.
    Provider {
        /// Which provider, and where.
        circuit: Circuit,
        /// What it came to.
        sign: Sign,
    },
    /// Another provider goes on, or the same again.
    Changed(Box<Change>),
    /// The call was put on hold or taken back by the peer.
    Hold(Hold),
    /// The recording pauses, or goes on.
    Recording(Order),
    /// Somebody begins to listen in, or does so no more.
    ListenedTo {
        /// Who.
        who: String,
        /// Whether they begin.
        begins: bool,
    },
    /// How the call sounds so far, every five seconds or so.
    Measured(Box<MediaQuality>),
    /// Trouble that the call survived.
    Warning(String),
    /// The call is over; sent once, nothing follows.
    Ended(Box<Conversation>),
}

/// Whether the peer holds the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// The peer does not listen.
    Held,
    /// Both directions flow.
    Resumed,
}

impl Hold {
    /// As an offer and its answer have it.
    pub(super) const fn of(direction: Direction) -> Self {
        match direction {
            Direction::SendRecv => Self::Resumed,
            Direction::SendOnly | Direction::RecvOnly | Direction::Inactive => Self::Held,
        }
    }
}
