//! STUN Binding (RFC 8489), as much as answers connectivity checks: requests are read, responses written.
use std::net::{IpAddr, SocketAddr};

use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

const HEADER: usize = 20;
const MAGIC_COOKIE: u32 = 0x2112_a442;
/// What the CRC of FINGERPRINT is masked with (RFC 8489 §14.7).
const FINGERPRINT_MASK: u32 = 0x5354_554e;

const BINDING_REQUEST: u16 = 0x0001;
const BINDING_SUCCESS: u16 = 0x0101;
const BINDING_ERROR: u16 = 0x0111;

const USERNAME: u16 = 0x0006;
const MESSAGE_INTEGRITY: u16 = 0x0008;
const ERROR_CODE: u16 = 0x0009;
const UNKNOWN_ATTRIBUTES: u16 = 0x000a;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
const PRIORITY: u16 = 0x0024;
const USE_CANDIDATE: u16 = 0x0025;
const FINGERPRINT: u16 = 0x8028;
/// Attributes below this must be understood (RFC 8489 §14).
const OPTIONAL: u16 = 0x8000;

/// What a datagram that may be STUN is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Message<'a> {
    /// A Binding request.
    Request(Request<'a>),
    /// An indication (a keepalive), or a response to nothing we asked.
    Other,
}

/// A Binding request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Request<'a> {
    transaction: &'a [u8],
    /// USERNAME.
    pub(crate) username: Option<&'a [u8]>,
    /// PRIORITY (RFC 8445 §7.1.1) of the candidate it came from; 0 if it does not say.
    pub(crate) priority: u32,
    /// USE-CANDIDATE (RFC 8445 §7.1.2): the peer chose this pair.
    pub(crate) nominates: bool,
    /// Attributes that must be understood and are not.
    pub(crate) unknown: Vec<u16>,
    integrity: Option<Integrity<'a>>,
}

#[derive(Debug, PartialEq, Eq)]
struct Integrity<'a> {
    /// The message before the attribute.
    covered: &'a [u8],
    tag: &'a [u8],
}

impl<'a> Message<'a> {
    /// Reads a datagram; `None` if it is not STUN.
    pub(crate) fn parse(datagram: &'a [u8]) -> Option<Self> {
        let (header, body) = datagram.split_at_checked(HEADER)?;
        let (kind, length) = (word(header.get(..2)?)?, word(header.get(2..4)?)?);
        let cookie = header.get(4..8)? == MAGIC_COOKIE.to_be_bytes();
        if kind & 0xc000 != 0 || !cookie || usize::from(length) != body.len() || !body.len().is_multiple_of(4) {
            return None;
        }
        let mut request = Request {
            transaction: header.get(8..)?,
            username: None,
            priority: 0,
            nominates: false,
            unknown: Vec::new(),
            integrity: None,
        };
        let mut at = HEADER;
        while at < datagram.len() {
            at = request.read_attribute(datagram, at)?;
        }
        Some(if kind == BINDING_REQUEST { Self::Request(request) } else { Self::Other })
    }
}

impl<'a> Request<'a> {
    /// Reads the attribute at `at`, and says where the next one is.
    fn read_attribute(&mut self, datagram: &'a [u8], at: usize) -> Option<usize> {
        let rest = datagram.get(at..)?;
        let kind = word(rest.get(..2)?)?;
        let length = usize::from(word(rest.get(2..4)?)?);
        let value = rest.get(4..4 + length)?;
        match kind {
            FINGERPRINT if value != fingerprint(datagram.get(..at)?) => return None,
            // RFC 8489 §14.5: what follows MESSAGE-INTEGRITY is not covered by it, and so is ignored.
            _ if self.integrity.is_some() => {}
            USERNAME => self.username = Some(value),
            MESSAGE_INTEGRITY => self.integrity = Some(Integrity { covered: datagram.get(..at)?, tag: value }),
            USE_CANDIDATE => self.nominates = true,
            PRIORITY => self.priority = u32::from_be_bytes(value.try_into().ok()?),
            unknown if unknown < OPTIONAL => self.unknown.push(unknown),
            _ => {}
        }
        Some(at + 4 + length.next_multiple_of(4))
    }

    /// Whether it carries MESSAGE-INTEGRITY at all.
    pub(crate) fn is_signed(&self) -> bool {
        self.integrity.is_some()
    }

    /// Whether whoever sent it knows `password`.
    pub(crate) fn is_signed_with(&self, password: &str) -> bool {
        let Some(Integrity { covered, tag }) = &self.integrity else { return false };
        signer(covered, password).is_some_and(|mac| mac.verify_slice(tag).is_ok())
    }

    /// The success response: where the request came from, signed.
    pub(crate) fn succeed(&self, from: SocketAddr, password: &str) -> Vec<u8> {
        let mut response = self.response(BINDING_SUCCESS);
        let port = from.port() ^ (MAGIC_COOKIE >> 16) as u16;
        let mask = MAGIC_COOKIE.to_be_bytes().into_iter().chain(self.transaction.iter().copied());
        let (family, address) = match from.ip() {
            IpAddr::V4(ip) => (1, ip.octets().to_vec()),
            IpAddr::V6(ip) => (2, ip.octets().to_vec()),
        };
        let mut value = vec![0, family];
        value.extend(port.to_be_bytes());
        value.extend(address.iter().zip(mask).map(|(octet, mask)| octet ^ mask));
        append(&mut response, XOR_MAPPED_ADDRESS, &value);
        if let Some(tag) = signer(&response, password) {
            append(&mut response, MESSAGE_INTEGRITY, &tag.finalize().into_bytes());
        }
        finish(response)
    }

    /// An error response: 400 (not signed), 401 (signed with something else) or 420 (an attribute that must be
    /// understood and is not).
    pub(crate) fn fail(&self, code: u16) -> Vec<u8> {
        let mut response = self.response(BINDING_ERROR);
        append(&mut response, ERROR_CODE, &[0, 0, (code / 100) as u8, (code % 100) as u8]);
        if !self.unknown.is_empty() {
            let list: Vec<u8> = self.unknown.iter().flat_map(|kind| kind.to_be_bytes()).collect();
            append(&mut response, UNKNOWN_ATTRIBUTES, &list);
        }
        finish(response)
    }

    fn response(&self, kind: u16) -> Vec<u8> {
        let mut bytes = kind.to_be_bytes().to_vec();
        bytes.extend([0, 0]);
        bytes.extend(MAGIC_COOKIE.to_be_bytes());
        bytes.extend(self.transaction);
        bytes
    }
}

/// Puts FINGERPRINT under a message.
fn finish(mut message: Vec<u8>) -> Vec<u8> {
    let crc = fingerprint(&message);
    append(&mut message, FINGERPRINT, &crc);
    message
}

/// Adds an attribute, padded, and makes the header's length include it.
fn append(message: &mut Vec<u8>, kind: u16, value: &[u8]) {
    message.extend(kind.to_be_bytes());
    message.extend((value.len() as u16).to_be_bytes());
    message.extend(value);
    message.resize(message.len().next_multiple_of(4), 0);
    let length = message.len() - HEADER;
    if let Some(field) = message.get_mut(2..4) {
        field.copy_from_slice(&(length as u16).to_be_bytes());
    }
}

/// HMAC-SHA1 of a message so far, whose length counts MESSAGE-INTEGRITY already (RFC 8489 §14.5).
fn signer(covered: &[u8], password: &str) -> Option<Hmac<Sha1>> {
    let mut mac = Hmac::<Sha1>::new_from_slice(password.as_bytes()).ok()?;
    let (kind, rest) = covered.split_at_checked(2)?;
    mac.update(kind);
    mac.update(&((covered.len() + 24 - HEADER) as u16).to_be_bytes());
    mac.update(rest.get(2..)?);
    Some(mac)
}

/// CRC-32 of a message so far, whose length counts FINGERPRINT already (RFC 8489 §14.7).
fn fingerprint(covered: &[u8]) -> [u8; 4] {
    let mut crc = crc32fast::Hasher::new();
    crc.update(covered.get(..2).unwrap_or_default());
    crc.update(&((covered.len() + 8).saturating_sub(HEADER) as u16).to_be_bytes());
    crc.update(covered.get(4..).unwrap_or_default());
    (crc.finalize() ^ FINGERPRINT_MASK).to_be_bytes()
}

fn word(bytes: &[u8]) -> Option<u16> {
    bytes.try_into().ok().map(u16::from_be_bytes)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::testing::Random;

    const PASSWORD: &str = "VOkJxbRl1RmTxUk/WvJxBt";
    /// RFC 5769 §2.1, a check with SOFTWARE, PRIORITY and ICE-CONTROLLED.
    const SAMPLE: &str = "000100582112a442b7e7a701bc34d686fa87dfae802200105354554e207465737420636c69656e7400240004\
        6e0001ff80290008932ff9b151263b36000600096576746a3a68367659202020000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b5\
        71a280280004e57a3bcf";

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<u8> = hex.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
        digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
    }

    fn request(datagram: &[u8]) -> Request<'_> {
        match Message::parse(datagram) {
            Some(Message::Request(request)) => request,
            other => panic!("{other:?}"),
        }
    }

    /// A check as a full agent makes it.
    pub(crate) fn check(username: &str, password: &str, nominates: bool) -> Vec<u8> {
        prioritised_check(username, password, nominates, 0x6e00_01ff)
    }

    pub(crate) fn prioritised_check(username: &str, password: &str, nominates: bool, priority: u32) -> Vec<u8> {
        let mut message = bytes("000100002112a442000102030405060708090a0b");
        append(&mut message, USERNAME, username.as_bytes());
        append(&mut message, PRIORITY, &priority.to_be_bytes());
        append(&mut message, 0x802a, &[7; 8]);
        if nominates {
            append(&mut message, USE_CANDIDATE, &[]);
        }
        let tag = signer(&message, password).unwrap().finalize().into_bytes();
        append(&mut message, MESSAGE_INTEGRITY, &tag);
        finish(message)
    }

    #[test]
    fn rfc5769_2_1_the_sample_request_is_read_and_verified() {
        let sample = bytes(SAMPLE);
        let request = request(&sample);
        assert_eq!((request.username, request.nominates), (Some(&b"evtj:h6vY"[..]), false));
        assert_eq!(request.priority, 0x6e00_01ff);
        assert!(request.unknown.is_empty());
        assert!(request.is_signed_with(PASSWORD));
        assert!(!request.is_signed_with("VOkJxbRl1RmTxUk/WvJxBu"));
    }

    /// RFC 5769 §2.2 and §2.3 with SOFTWARE left out, which we do not send: the address as there, signed as there.
    #[test]
    fn rfc5769_2_2_and_2_3_the_response_maps_the_address_as_in_the_samples_and_is_signed() {
        let sample = bytes(SAMPLE);
        let cases = [
            ("192.0.2.1:32853", "002000080001a147e112a643"),
            ("[2001:db8:1234:5678:11:2233:4455:6677]:32853", "002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d9"),
        ];
        for (from, attribute) in cases {
            let response = request(&sample).succeed(from.parse().unwrap(), PASSWORD);
            let mapped = HEADER + attribute.len() / 2;
            assert_eq!(response[HEADER..mapped], bytes(attribute));
            assert_eq!((&response[..2], &response[4..HEADER]), (&[1, 1][..], &sample[4..HEADER]));
            assert_eq!(Message::parse(&response), Some(Message::Other), "length and fingerprint hold");
            let tag = &response[mapped + 4..mapped + 24];
            assert!(signer(&response[..mapped], PASSWORD).unwrap().verify_slice(tag).is_ok());
        }
    }

    /// RFC 5769 §2.2 as it stands: what we sign with is what others sign with.
    #[test]
    fn rfc5769_2_2_the_sample_response_verifies() {
        let sample = bytes(
            "0101003c2112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220002000080001a147e112a643\
             000800142b91f599fd9e90c38c7489f92af9ba53f06be7d780280004c07d4c96",
        );
        assert!(signer(&sample[..48], PASSWORD).unwrap().verify_slice(&sample[52..72]).is_ok());
        assert_eq!(fingerprint(&sample[..72]), sample[76..]);
    }

    #[test]
    fn rfc8489_7_3_1_an_attribute_that_must_be_understood_is_named_in_a_420() {
        let mut message = bytes("000100002112a442000102030405060708090a0b");
        append(&mut message, 0x7f01, &[1, 2, 3]);
        append(&mut message, 0xff01, &[1]);
        let response = request(&message).fail(420);
        assert_eq!(response[HEADER..HEADER + 14], bytes("0009000400000414000a00027f01"));
        assert_eq!(Message::parse(&response), Some(Message::Other));
    }

    /// RFC 8489 §14.5, §14.7: what is not signed does not count, and a wrong CRC is not STUN.
    #[test]
    fn rfc8489_14_what_follows_the_signature_is_ignored_and_a_wrong_fingerprint_is_not_stun() {
        let mut message = check("us:them", PASSWORD, false);
        message.truncate(message.len() - 8);
        append(&mut message, USE_CANDIDATE, &[]);
        append(&mut message, USERNAME, b"me:them");
        let forged = finish(message);
        let request = request(&forged);
        assert!(request.is_signed_with(PASSWORD) && !request.nominates);
        assert_eq!(request.username, Some(&b"us:them"[..]));
        let mut wrong = check("us:them", PASSWORD, false);
        let last = wrong.len() - 1;
        wrong[last] ^= 1;
        assert_eq!(Message::parse(&wrong), None);
    }

    #[test]
    fn what_is_not_stun_or_is_mangled_is_not_read() {
        let good = check("us:them", PASSWORD, true);
        assert!(request(&good).nominates);
        for length in 0..good.len() {
            assert_eq!(Message::parse(&good[..length]), None, "{length}");
        }
        let mut random = Random::new(11);
        let mut read = 0;
        for _ in 0..20_000 {
            let mut mangled = good.clone();
            for _ in 0..=random.below(3) {
                let at = random.below(mangled.len() as u64) as usize;
                mangled[at] = random.next() as u8;
            }
            if let Some(Message::Request(request)) = Message::parse(&mangled) {
                read += 1;
                let covered = good.len() - 8; // all but FINGERPRINT
                assert!(mangled[..covered] == good[..covered] || !request.is_signed_with(PASSWORD), "{mangled:02x?}");
                request.succeed("192.0.2.1:1".parse().unwrap(), PASSWORD);
                request.fail(420);
            }
        }
        assert!(read > 0, "only the CRC was tested");
    }
}
