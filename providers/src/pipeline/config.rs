//! Which services a conversation is made of.
use crate::Tool;
use media::AudioFormat;
use std::{fmt, time::Duration};

/// Where a service is and what opens it.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Without the path of the method: `https://api.openai.com/v1`, `wss://api.deepgram.com`.
    pub url: String,
    /// `None` for a service that asks for none.
    pub api_key: Option<String>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("url", &self.url).finish_non_exhaustive()
    }
}

/// What hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hearing {
    /// Deepgram `/v1/listen` (nova): words as they come; our detector and its silence end the turn.
    Nova {
        /// `ws://` or `wss://`, without a path.
        at: Credentials,
        /// `nova-3` and the like.
        model: String,
        /// So much quiet makes a turn that may be over: an answer is begun, and withdrawn if the caller goes on.
        endpointing: Duration,
        /// So much of it our detector waits out: nova, which ends what noise hides the end of, is to wait no less.
        silence: Duration,
    },
    /// Deepgram `/v2/listen` (Flux): it ends the turns itself.
    Flux {
        /// `ws://` or `wss://`, without a path.
        at: Credentials,
        /// `flux-general-en` or `flux-general-multi`.
        model: String,
        /// So much quiet ends a turn, whatever it makes of the words; `None` leaves it its own five seconds.
        longest_silence: Option<Duration>,
    },
    /// `POST /audio/transcriptions` as OpenAI has it, one turn at a time.
    Transcriptions {
        /// `http://` or `https://`, up to the version.
        at: Credentials,
        /// `gpt-transcribe`, `whisper-large-v3-turbo` and the like.
        model: String,
    },
    /// The recogniser inside this process, one turn at a time.
    Engine,
}

/// What answers: `POST /chat/completions` as OpenAI has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chat {
    /// `http://` or `https://`, up to the version.
    pub at: Credentials,
    /// The service's name of it.
    pub model: String,
    /// `low` and the like, for models that think first; `None` sends nothing.
    pub reasoning_effort: Option<String>,
}

/// What speaks.
#[derive(Clone, Debug, PartialEq)]
pub enum Voice {
    /// `POST /audio/speech` as OpenAI has it.
    Speech {
        /// `http://` or `https://`, up to the version.
        at: Credentials,
        /// The service's name of it.
        model: String,
        /// The service's name of it.
        voice: String,
        /// 1 is the voice's own pace.
        speed: Option<f32>,
    },
    /// Deepgram Aura, `POST /v1/speak`.
    Aura {
        /// `http://` or `https://`, without a path.
        at: Credentials,
        /// Model and voice: `aura-2-thalia-en`.
        model: String,
    },
    /// ElevenLabs, `POST /v1/text-to-speech/{voice}/stream`.
    ElevenLabs {
        /// `http://` or `https://`, without a path.
        at: Credentials,
        /// `eleven_flash_v2_5` and the like.
        model: String,
        /// The service's name of it.
        voice: String,
        /// 1 is the voice's own pace.
        speed: Option<f32>,
    },
    /// A Piper server, `POST /synthesize`.
    Piper {
        /// `http://` or `https://`, without a path.
        at: Credentials,
        /// `None` for the server's own.
        voice: Option<String>,
        /// 1 is the voice's own pace.
        speed: Option<f32>,
    },
    /// The voice inside this process.
    Engine,
}

/// What the caller hears when an answer takes long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filler {
    /// Nothing.
    Off,
    /// Whoever plays the answers is told since when one is being made ([`crate::Dialect::answering_since`]).
    Tones,
}

/// One conversation.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// What hears.
    pub hearing: Hearing,
    /// What answers.
    pub chat: Chat,
    /// What speaks.
    pub voice: Voice,
    /// What the call sounds like.
    pub call: AudioFormat,
    /// BCP 47.
    pub language: Option<String>,
    /// What the model is told to be.
    pub instructions: String,
    /// What is said first; `None` waits for the caller.
    pub first_message: Option<String>,
    /// What the model may ask for.
    pub tools: Vec<Tool>,
    /// What fills a long wait.
    pub filler: Filler,
}

impl Config {
    /// Where its services are, in the order hearing, answering, speaking.
    pub fn addresses(&self) -> Vec<&str> {
        let hearing = match &self.hearing {
            Hearing::Nova { at, .. } | Hearing::Flux { at, .. } | Hearing::Transcriptions { at, .. } => Some(at),
            Hearing::Engine => None,
        };
        let voice = match &self.voice {
            Voice::Speech { at, .. }
            | Voice::Aura { at, .. }
            | Voice::ElevenLabs { at, .. }
            | Voice::Piper { at, .. } => Some(at),
            Voice::Engine => None,
        };
        let all = hearing.into_iter().chain([&self.chat.at]).chain(voice);
        all.map(|at| at.url.as_str()).collect()
    }
}

impl Hearing {
    /// Whether it takes whole turns only.
    pub const fn is_turn_based(&self) -> bool {
        matches!(self, Self::Transcriptions { .. } | Self::Engine)
    }

    /// Model, for the record and the price list; `None` for the engine.
    pub fn model(&self) -> Option<&str> {
        match self {
            Self::Nova { model, .. } | Self::Flux { model, .. } | Self::Transcriptions { model, .. } => Some(model),
            Self::Engine => None,
        }
    }
}

impl Voice {
    /// Model, for the price list; `None` for one that costs nothing.
    pub fn model(&self) -> Option<&str> {
        match self {
            Self::Speech { model, .. } | Self::Aura { model, .. } | Self::ElevenLabs { model, .. } => Some(model),
            Self::Piper { .. } | Self::Engine => None,
        }
    }
}
