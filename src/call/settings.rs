//! The knobs of a call that come from the configuration, and not from the secretary.
use super::Recording;
use crate::dtmf::Dtmf;
use media::{
    Patience,
    codec::Codec,
    echo,
    latch::Policy,
    sdp::{ComfortNoise, Preference},
    vad,
};
use std::time::Duration;

/// How callers are listened to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listening {
    /// Who hears whether the caller speaks. [`vad::Engine::Off`] counts only for providers that tell turns.
    pub vad: vad::Engine,
    /// Whether the tones of keys are listened to where `dtmf` leaves it open.
    pub inband_dtmf: bool,
    /// Whether noise is damped in what the provider hears of the caller.
    pub suppress_noise: bool,
    /// What the provider hears of the assistant, come back.
    pub echo: echo::Policy,
}

/// What every call of this process is held to.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Codecs we accept, in our order of preference.
    pub codecs: Vec<Codec>,
    /// Whose order chooses.
    pub preference: Preference,
    /// What we packetise with.
    pub ptime: Duration,
    /// What is done about comfort noise.
    pub comfort_noise: ComfortNoise,
    /// How long a gap in the caller's packets may wait for its packet.
    pub reorder_window: Duration,
    /// The longest speech that may wait in the playout.
    pub max_queued: Duration,
    /// How long the caller's packets may stay away.
    pub patience: Patience,
    /// Which sources besides the signalled one may be taken for the caller.
    pub learn: Policy,
    /// A mean opinion score below is warned of, 1 to 4.5.
    pub poor_below: f64,
    /// How long providers are waited for.
    pub ladder: Patiences,
    /// How long the announcement of a transfer may take before the REFER goes out regardless.
    pub announce_deadline: Duration,
    /// How long after the 202 a REFER may stay without a final NOTIFY.
    pub notify_deadline: Duration,
    /// How long we leave the peer to hang up after a transfer that worked, before we do.
    pub bye_after_transfer: Duration,
    /// How long a goodbye may take.
    pub farewell_deadline: Duration,
    /// How long a caller whose provider died may take to press a key of the secretary's menu.
    pub menu_deadline: Duration,
    /// How the caller is listened to.
    pub listening: Listening,
    /// How keys pass between us and the phone system.
    pub dtmf: Dtmf,
    /// Where a caller goes whose provider died: an extension of the PBX.
    pub fallback_extension: Option<String>,
    /// Whether and how calls are recorded.
    pub recording: Recording,
    /// Whether anybody may listen in.
    pub listen_in: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            codecs: vec![Codec::Pcmu, Codec::Pcma],
            preference: Preference::Theirs,
            ptime: Duration::from_millis(20),
            comfort_noise: ComfortNoise::default(),
            reorder_window: Duration::from_millis(40),
            max_queued: Duration::from_secs(180),
            patience: Patience {
                warning: Duration::from_secs(5),
                end: Duration::from_secs(60),
                hold: Duration::from_secs(1_800),
            },
            learn: Policy::default(),
            poor_below: 3.6,
            ladder: Patiences::default(),
            announce_deadline: Duration::from_secs(10),
            notify_deadline: Duration::from_secs(45),
            bye_after_transfer: Duration::from_secs(1),
            farewell_deadline: Duration::from_secs(8),
            menu_deadline: Duration::from_secs(10),
            listening: Listening {
                vad: vad::Engine::Silero,
                inband_dtmf: false,
                suppress_noise: false,
                echo: echo::Policy::Mute,
            },
            dtmf: Dtmf::Auto,
            fallback_extension: None,
            recording: Recording::default(),
            listen_in: false,
        }
    }
}

/// How long a provider is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patiences {
    /// How long the only provider of a call may take to be ready, before the call is refused with 503.
    pub ready: Duration,
    /// How long a provider may take that is to go on with a conversation, or that has another below it.
    pub replacement: Duration,
    /// How long the caller who waits for such a provider hears nothing, before a voice of this process says something.
    pub filler: Duration,
    /// How long a provider may take to begin an answer, before it counts as silent.
    pub answer: Duration,
}

impl Default for Patiences {
    fn default() -> Self {
        let (replacement, filler) = (Duration::from_secs(3), Duration::from_millis(1_500));
        Self { ready: Duration::from_secs(8), replacement, filler, answer: Duration::from_secs(8) }
    }
}
