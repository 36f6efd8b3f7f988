//! One rung of a secretary's ladder: a provider with all it needs, ready to be opened once the call's codec is known.
use media::Law;
use providers::{Dialect, Usage, local, openai};

/// A configured provider. The only place under `src/call` that names one.
#[derive(Clone, Debug)]
pub enum Rung {
    /// OpenAI Realtime, or anything that speaks its protocol.
    OpenAi(Box<openai::Config>),
    /// The built-in provider.
    Local(Box<local::Config>),
}

impl Rung {
    /// Opens a conversation for a call in this companding law (µ-law for calls that are not in G.711).
    pub fn open(&self, law: Law) -> Box<dyn Dialect> {
        match self {
            Self::OpenAi(config) => Box::new(openai::Session::new(openai::Config { law, ..(**config).clone() })),
            Self::Local(config) => Box::new(local::Session::new((**config).clone())),
        }
    }

    /// For records and logs: `openai gpt-realtime-2.1`.
    pub fn name(&self) -> String {
        match self {
            Self::OpenAi(config) => format!("openai {}", config.model),
            Self::Local(_) => "local".to_owned(),
        }
    }

    /// List price of this usage in micro-dollars; `None` when the model has no price on file.
    pub fn cost(&self, usage: &Usage) -> Option<u64> {
        match self {
            Self::OpenAi(config) => providers::price::cost_micro_usd(usage, &config.model),
            Self::Local(_) => Some(0),
        }
    }
}
