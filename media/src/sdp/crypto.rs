//! `a=crypto` (RFC 4568): the keys of SRTP, in descriptions.
use std::fmt;

use base64_simd::{STANDARD, STANDARD_NO_PAD};
use zeroize::Zeroizing;

use crate::srtp::{Master, Suite};

/// RFC 4568 §6.1: an identifier has 1 to 128 bytes.
const MAX_MKI: usize = 128;
/// RFC 3711 §9.2: no key lives longer, in packets.
const MAX_LIFETIME: u64 = 1 << 48;

/// One line: a key for the packets of who wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Crypto {
    /// By which the answer names the line of the offer (§4.1).
    pub(super) tag: u32,
    pub(super) master: Master,
}

impl Crypto {
    /// Reads the value of a line: `tag suite inline:key|lifetime|MKI:length parameters`. `None` where anything is not
    /// understood, as a suite, or a parameter that must be (§6.3): such a line cannot be chosen.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_ascii_whitespace();
        let tag = words.next().filter(|tag| tag.len() <= 9).and_then(number)?;
        let suite = Suite::of_name(words.next()?)?;
        let master = key(suite, words.next()?)?;
        words.all(may_be_ignored).then_some(Self { tag: u32::try_from(tag).ok()?, master })
    }
}

/// As the value of a line.
impl fmt::Display for Crypto {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = Zeroizing::new(STANDARD.encode_to_string(&*self.master.expose()));
        write!(formatter, "{} {} inline:{}", self.tag, self.master.suite().name(), &*key)
    }
}

/// `inline:key|lifetime|MKI:length`, the last two if they are there. Several keys in one line, to change between without
/// a new offer, are not understood.
fn key(suite: Suite, text: &str) -> Option<Master> {
    let (method, inline) = text.split_once(':')?;
    if !method.eq_ignore_ascii_case("inline") || inline.contains(';') {
        return None;
    }
    let mut parts = inline.split('|');
    // Some write the padding of Base64, and some do not.
    let encoded = parts.next()?.trim_end_matches('=');
    let bytes = Zeroizing::new(STANDARD_NO_PAD.decode_to_vec(encoded).ok()?);
    let master = Master::new(suite, &bytes)?;
    let (mut lifetime, mut identifier) = (None, None);
    for part in parts {
        let unknown = match part.split_once(':') {
            Some((value, length)) => identifier.replace(mki(value, length)?).is_some(),
            // How long the peer may use its key is the peer's business; what is no lifetime makes the line suspect.
            None => identifier.is_some() || lifetime.replace(packets(part)?).is_some(),
        };
        if unknown {
            return None;
        }
    }
    Some(master.identified_by(identifier.unwrap_or_default()))
}

/// A lifetime in packets, as a number or a power of two.
fn packets(text: &str) -> Option<u64> {
    let packets = match text.strip_prefix("2^") {
        Some(exponent) => 1_u64.checked_shl(u32::try_from(number(exponent)?).ok()?)?,
        None => number(text)?,
    };
    (1..=MAX_LIFETIME).contains(&packets).then_some(packets)
}

/// A number, in so many bytes.
fn mki(value: &str, length: &str) -> Option<Vec<u8>> {
    let length = usize::try_from(number(length)?).ok().filter(|length| (1..=MAX_MKI).contains(length))?;
    let value = number(value)?.to_be_bytes();
    let kept = length.min(value.len());
    let (beyond, low) = value.split_at_checked(value.len() - kept)?;
    let zeros = vec![0; length - kept];
    beyond.iter().all(|byte| *byte == 0).then(|| [&zeros, low].concat())
}

/// Digits and nothing else.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// §6.3.7: a hint at the replay window, and what the peer marks as dispensable. The others change what packets look like.
fn may_be_ignored(parameter: &str) -> bool {
    parameter.starts_with('-') || parameter.strip_prefix("WSH=").is_some_and(|window| number(window).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "jHUhSagb4QL2N2mPyqOkjgwC5pXPB9Xyup4KhQFH";

    fn parse(text: &str) -> Option<Crypto> {
        Crypto::parse(&text.replace("KEY", KEY))
    }

    #[test]
    fn rfc4568_9_1_lines_are_read_and_printed() {
        for suite in Suite::ALL {
            let master = Master::new(suite, &vec![0xfb; suite.master_length()]).unwrap();
            let line = Crypto { tag: 999_999_999, master };
            assert_eq!(Crypto::parse(&line.to_string()), Some(line));
        }
        let line = parse("7 AES_CM_128_HMAC_SHA1_80 inline:KEY").unwrap();
        assert_eq!((line.tag, line.master.suite()), (7, Suite::AesCm128Sha1_80));
        assert_eq!(line.to_string(), format!("7 AES_CM_128_HMAC_SHA1_80 inline:{KEY}"));
        assert!(!format!("{line:?}").contains("jHUh"), "{line:?}");
    }

    #[test]
    fn rfc4568_6_1_lifetime_and_identifier_are_understood() {
        let mki = |text: &str| parse(&format!("1 AES_CM_128_HMAC_SHA1_32 inline:KEY{text}")).map(|line| line.master);
        let plain = mki("").unwrap();
        assert_eq!(mki("|2^20"), Some(plain.clone()));
        assert_eq!(mki("|1048576"), Some(plain.clone()));
        assert_eq!(mki("|2^20|1:4"), Some(plain.clone().identified_by(vec![0, 0, 0, 1])));
        assert_eq!(mki("|300:2"), Some(plain.clone().identified_by(vec![1, 44])));
        assert_eq!(mki("|1:10"), Some(plain.identified_by([vec![0; 9], vec![1]].concat())));
        let refused = [
            "|2^49",
            "|2^64",
            "|2^",
            "|0",
            "|",
            "|x",
            "|300:1",
            "|1:0",
            "|1:129",
            "|1:4|2^20",
            "|2^20|2^20",
            "|1:4|1:4",
            "|+1:4",
            ":1",
            ";inline:KEY|1:4",
        ];
        for text in refused {
            assert_eq!(mki(text), None, "{text}");
        }
    }

    #[test]
    fn rfc4568_6_3_parameters_that_change_packets_refuse_a_line() {
        for (parameters, accepted) in [
            ("", true),
            ("WSH=64", true),
            ("-EXTENSION=1 WSH=128", true),
            ("UNENCRYPTED_SRTP", false),
            ("UNENCRYPTED_SRTCP", false),
            ("UNAUTHENTICATED_SRTP", false),
            ("KDR=1", false),
            ("FEC_ORDER=FEC_SRTP", false),
            ("WSH=x", false),
            ("WSH=64 KDR=0", false),
        ] {
            let line = parse(&format!("1 AES_CM_128_HMAC_SHA1_80 inline:KEY {parameters}"));
            assert_eq!(line.is_some(), accepted, "{parameters}");
        }
    }

    #[test]
    fn what_is_no_key_of_a_suite_is_passed_over() {
        for text in [
            "",
            "1",
            "1 AES_CM_128_HMAC_SHA1_80",
            "1 AES_CM_128_HMAC_SHA1_80 KEY",
            "1 AES_CM_128_HMAC_SHA1_80 prompt:KEY",
            "1 AES_CM_128_HMAC_SHA1_80 inline:KEYAAAA",
            "1 AES_CM_128_HMAC_SHA1_80 inline:jHUh Sagb",
            "1 AES_256_CM_HMAC_SHA1_80 inline:KEY",
            "1 AEAD_AES_256_GCM_8 inline:N8G3nliBzBTtS7+q0TwCj+CZ9cmPdv366rCo7wglsEg2Yg7js6ZuGpRGQrw=",
            "1 AES_CM_128_NULL_AUTH inline:KEY",
            "x AES_CM_128_HMAC_SHA1_80 inline:KEY",
            "-1 AES_CM_128_HMAC_SHA1_80 inline:KEY",
            "1234567890 AES_CM_128_HMAC_SHA1_80 inline:KEY",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
        let padded = "2 AEAD_AES_256_GCM inline:7XXjRbbs02MDpOYP1R3aYQ4l2/QckEJlu1y0gYpEZxgTFiCEqKo52B43wYY=";
        assert_eq!(Crypto::parse(padded), Crypto::parse(padded.trim_end_matches('=')));
        assert!(Crypto::parse(padded).is_some());
    }
}
