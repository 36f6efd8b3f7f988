//! What a provider tells of a conversation's cost, some time after its end.
use crate::elevenlabs;
use std::fmt;

/// Where to ask, with GET. The headers hold secrets, so `Debug` shows only their names.
#[derive(Clone, PartialEq, Eq)]
pub struct Receipt {
    /// `http://` or `https://`; the answer is JSON.
    pub url: String,
    /// Header name and value.
    pub headers: Vec<(String, String)>,
    pub(crate) form: Form,
}

/// Whose words the answer is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    ElevenLabs,
}

/// What an answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bill {
    /// It is not reckoned yet: ask again.
    NotYet,
    /// So many micro-dollars.
    Cost(u64),
    /// It will never be told.
    Untold,
}

impl Receipt {
    /// Whose it is, as in the `realtime_provider` column.
    pub const fn provider(&self) -> &'static str {
        match self.form {
            Form::ElevenLabs => "elevenlabs",
        }
    }

    /// Reads an answer.
    pub fn read(&self, body: &str) -> Bill {
        match self.form {
            Form::ElevenLabs => elevenlabs::read_bill(body),
        }
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("Receipt").field("url", &self.url).field("headers", &names).finish_non_exhaustive()
    }
}
