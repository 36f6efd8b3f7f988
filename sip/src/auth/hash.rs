//! The hashes of digest authentication (RFC 7616 §3.2, RFC 8760 §2.1) and what is hashed with them.
use md5::Md5;
use sha2::{Digest, Sha256, Sha512_256};

/// A hash function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hash {
    /// MD5: the only one FreeSWITCH offers by default.
    Md5,
    /// SHA-256.
    Sha256,
    /// SHA-512/256.
    Sha512Of256,
}

impl Hash {
    /// Hash of the parts joined with colons, in lower-case hexadecimal.
    pub(super) fn hex(self, parts: &[&str]) -> String {
        let text = parts.join(":");
        match self {
            Self::Md5 => hex(&Md5::digest(text)),
            Self::Sha256 => hex(&Sha256::digest(text)),
            Self::Sha512Of256 => hex(&Sha512_256::digest(text)),
        }
    }
}

/// Lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    let digit = |half: u8| char::from_digit(half.into(), 16).unwrap_or_default();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0xf)]).collect()
}

/// The `algorithm` of a challenge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// `MD5`, also meant where a challenge names none, `SHA-256` or `SHA-512-256`.
    Plain(Hash),
    /// The same with `-sess`: the nonces are hashed into the secret.
    Session(Hash),
    /// Any other: not ours to answer.
    Other(String),
}

impl Algorithm {
    const ALL: [(&str, Self); 6] = [
        ("MD5", Self::Plain(Hash::Md5)),
        ("MD5-sess", Self::Session(Hash::Md5)),
        ("SHA-256", Self::Plain(Hash::Sha256)),
        ("SHA-256-sess", Self::Session(Hash::Sha256)),
        ("SHA-512-256", Self::Plain(Hash::Sha512Of256)),
        ("SHA-512-256-sess", Self::Session(Hash::Sha512Of256)),
    ];

    /// Reads its name, in any case.
    pub fn parse(name: &str) -> Self {
        let known = Self::ALL.iter().find(|(text, _)| text.eq_ignore_ascii_case(name));
        known.map_or_else(|| Self::Other(name.to_owned()), |(_, algorithm)| algorithm.clone())
    }

    /// Its name as registered.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Other(name) => name,
            Self::Plain(_) | Self::Session(_) => {
                Self::ALL.iter().find(|(_, algorithm)| algorithm == self).map_or("", |(name, _)| name)
            }
        }
    }
}

/// What a response proves, beside the secret: RFC 7616 §3.4.1 with `qop=auth`, or without qop.
#[derive(Clone, Copy, Debug)]
pub(super) struct Proven<'a> {
    pub(super) nonce: &'a str,
    /// `nc` and `cnonce`, which count for qop `auth`.
    pub(super) uses: Option<(&'a str, &'a str)>,
    pub(super) method: &'a str,
    pub(super) uri: &'a str,
}

/// `H(A1)` without `-sess`: RFC 7616 §3.4.2.
pub(super) fn secret(hash: Hash, user: &str, realm: &str, password: &str) -> String {
    hash.hex(&[user, realm, password])
}

/// The `response`, from `H(A1)`.
pub(super) fn response(hash: Hash, ha1: &str, proven: Proven<'_>) -> String {
    let Proven { nonce, uses, method, uri } = proven;
    let ha2 = hash.hex(&[method, uri]);
    match uses {
        Some((nc, cnonce)) => hash.hex(&[ha1, nonce, nc, cnonce, "auth", &ha2]),
        None => hash.hex(&[ha1, nonce, &ha2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mufasa(hash: Hash, realm: &str, password: &str, nonce: &str, cnonce: &str) -> String {
        let ha1 = secret(hash, "Mufasa", realm, password);
        let uses = Some(("00000001", cnonce));
        response(hash, &ha1, Proven { nonce, uses, method: "GET", uri: "/dir/index.html" })
    }

    /// RFC 2617 §3.5 and RFC 7616 §3.9.1 (HTTP requests, whose URI is no SIP URI).
    #[test]
    fn the_examples_of_the_rfcs() {
        let nonce = "dcd98b7102dd2f0e8b11d0f600bfb0c093";
        let old = mufasa(Hash::Md5, "testrealm@host.com", "Circle Of Life", nonce, "0a4f113b");
        assert_eq!(old, "6629fae49393a05397450978507c4ef1");
        let nonce = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v";
        let cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
        let new = |hash| mufasa(hash, "http-auth@example.org", "Circle of Life", nonce, cnonce);
        assert_eq!(new(Hash::Md5), "8ca523f5e9506fed4657c9700eebdbec");
        assert_eq!(new(Hash::Sha256), "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1");
    }

    /// FIPS 180-4: SHA-512/256 is not a truncated SHA-512.
    #[test]
    fn sha_512_256_has_its_own_initial_value() {
        let empty = "c672b8d1ef56ed28ab87c3622c5114069bdd3ad7b8f9737498d0c01ecef0967a";
        assert_eq!(Hash::Sha512Of256.hex(&[""]), empty);
    }

    #[test]
    fn names_in_any_case() {
        for (name, algorithm) in Algorithm::ALL {
            assert_eq!((Algorithm::parse(&name.to_lowercase()), algorithm.as_str()), (algorithm.clone(), name));
        }
        assert_eq!(Algorithm::parse("SHA-1").as_str(), "SHA-1");
    }
}
