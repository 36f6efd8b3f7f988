//! The crypto suites of RFC 4568 §6.2, RFC 6188 §4 and RFC 7714 §14.1.

/// How packets of a session are protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Suite {
    /// `AEAD_AES_256_GCM` (RFC 7714).
    AeadAes256Gcm,
    /// `AEAD_AES_128_GCM` (RFC 7714).
    AeadAes128Gcm,
    /// `AES_256_CM_HMAC_SHA1_80` (RFC 6188).
    Aes256CmSha1_80,
    /// `AES_CM_128_HMAC_SHA1_80` (RFC 4568 §6.2.1), which everybody has.
    AesCm128Sha1_80,
    /// `AES_256_CM_HMAC_SHA1_32` (RFC 6188).
    Aes256CmSha1_32,
    /// `AES_CM_128_HMAC_SHA1_32` (RFC 4568 §6.2.2).
    AesCm128Sha1_32,
}

impl Suite {
    /// All of them, the strongest first: the order we offer them in.
    pub const ALL: [Self; 6] = [
        Self::AeadAes256Gcm,
        Self::AeadAes128Gcm,
        Self::Aes256CmSha1_80,
        Self::AesCm128Sha1_80,
        Self::Aes256CmSha1_32,
        Self::AesCm128Sha1_32,
    ];

    /// Its name in `a=crypto`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AeadAes256Gcm => "AEAD_AES_256_GCM",
            Self::AeadAes128Gcm => "AEAD_AES_128_GCM",
            Self::Aes256CmSha1_80 => "AES_256_CM_HMAC_SHA1_80",
            Self::AesCm128Sha1_80 => "AES_CM_128_HMAC_SHA1_80",
            Self::Aes256CmSha1_32 => "AES_256_CM_HMAC_SHA1_32",
            Self::AesCm128Sha1_32 => "AES_CM_128_HMAC_SHA1_32",
        }
    }

    /// The suite of this name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|suite| suite.name() == name)
    }

    /// Bytes of its master key, which are also those of its session keys.
    pub(super) const fn key_length(self) -> usize {
        match self {
            Self::AeadAes128Gcm | Self::AesCm128Sha1_80 | Self::AesCm128Sha1_32 => 16,
            Self::AeadAes256Gcm | Self::Aes256CmSha1_80 | Self::Aes256CmSha1_32 => 32,
        }
    }

    /// Bytes of its master salt.
    pub(super) const fn salt_length(self) -> usize {
        match self {
            Self::AeadAes128Gcm | Self::AeadAes256Gcm => 12,
            Self::AesCm128Sha1_80 | Self::AesCm128Sha1_32 | Self::Aes256CmSha1_80 | Self::Aes256CmSha1_32 => 14,
        }
    }

    /// Bytes of key and salt together, as they stand behind `inline:` (RFC 4568 §6.1).
    pub const fn master_length(self) -> usize {
        self.key_length() + self.salt_length()
    }
}
