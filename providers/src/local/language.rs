//! The languages this provider has phrases, stems and synonyms for.

/// A language of the built-in provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Language {
    /// Brazilian Portuguese.
    PtBr,
    /// American English.
    EnUs,
}

impl Language {
    /// The nearest language to a BCP 47 tag (`pt`, `pt-PT`, `en_GB`…), `None` when there is none.
    pub fn from_tag(tag: &str) -> Option<Self> {
        match tag.split(['-', '_']).next()?.to_ascii_lowercase().as_str() {
            "pt" => Some(Self::PtBr),
            "en" => Some(Self::EnUs),
            _ => None,
        }
    }

    /// BCP 47.
    pub const fn tag(self) -> &'static str {
        match self {
            Self::PtBr => "pt-BR",
            Self::EnUs => "en-US",
        }
    }
}
