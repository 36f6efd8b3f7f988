//! What must not be seen of a message: answers to challenges, which let a password be guessed at leisure (RFC 7616
//! §5.8), keys of media (RFC 4568 §6.1, RFC 4567, RFC 8839 §5.4), and keys a caller presses, which may be a PIN.
use super::line::{HeaderLines, split};
use std::ops::Range;

/// Headers with an answer to a challenge, or the proof that the other side knows the password too.
const PROOFS: [&[u8]; 3] = [b"authorization", b"proxy-authorization", b"authentication-info"];
/// Parameters of theirs that are made of the password.
const DIGESTS: [&[u8]; 2] = [b"response", b"rspauth"];
/// Lines of a session description, and of `application/dtmf-relay`, that hold a key, and behind which word it begins.
const KEYS: [(&[u8], &[u8]); 5] =
    [(b"a=crypto:", b"inline:"), (b"a=key-mgmt:", b" "), (b"a=ice-pwd:", b""), (b"k=", b":"), (b"signal", b"=")];

/// Names of the header that says what a body is.
const CONTENT: [&[u8]; 2] = [b"content-type", b"c"];
/// A body that is a key, and nothing around it.
const KEY_ALONE: &[u8] = b"application/dtmf";

/// Puts stars over every secret. Line ends stay: what is malformed is shown as malformed as it was.
pub(super) fn mask(bytes: &mut [u8]) {
    for range in found(bytes) {
        for byte in bytes.get_mut(range).into_iter().flatten().filter(|byte| !byte.is_ascii_whitespace()) {
            *byte = b'*';
        }
    }
}

/// Where the secrets are; mostly nowhere, so mostly this allocates nothing.
fn found(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut secrets = Vec::new();
    let Some((_, mut lines)) = HeaderLines::new(bytes) else { return secrets };
    let mut key_alone = false;
    while let Some(range) = lines.next_header() {
        let Some(header) = bytes.get(range.clone()) else { break };
        match header.first() {
            Some(b'A' | b'a' | b'P' | b'p') if is_proof(header) => proofs(header, range.start, &mut secrets),
            Some(b'C' | b'c') => key_alone |= is_key_alone(header),
            Some(_) | None => {}
        }
    }
    let mut start = lines.position();
    if key_alone {
        secrets.push(start..bytes.len());
        return secrets;
    }
    while let Some(rest) = bytes.get(start..).filter(|rest| !rest.is_empty()) {
        let end = memchr::memchr(b'\n', rest).map_or(bytes.len(), |end| start + end);
        // Whoever reads a key of `application/dtmf-relay` minds no space before it.
        let line = bytes.get(start..end).unwrap_or_default().trim_ascii_start();
        if matches!(line.first(), Some(b'a' | b'k' | b'S' | b's')) {
            let from = end - line.len();
            secrets.extend(key(line).map(|key| from + key.start..from + key.end));
        }
        start = end + 1;
    }
    secrets
}

fn is_proof(header: &[u8]) -> bool {
    split(header).is_some_and(|(name, _)| PROOFS.iter().any(|proof| name.eq_ignore_ascii_case(proof)))
}

fn is_key_alone(header: &[u8]) -> bool {
    split(header).is_some_and(|(name, value)| {
        let media = value.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
        CONTENT.iter().any(|content| name.eq_ignore_ascii_case(content)) && media.eq_ignore_ascii_case(KEY_ALONE)
    })
}

/// The digests of a header that begins at `offset`; of a scheme that is not Digest, all of its credentials.
fn proofs(header: &[u8], offset: usize, secrets: &mut Vec<Range<usize>>) {
    let Some(colon) = memchr::memchr(b':', header) else { return };
    let value = header.get(colon + 1..).unwrap_or_default();
    let scheme = value.trim_ascii_start().split(|b| b.is_ascii_whitespace() || *b == b'=').next().unwrap_or_default();
    let informs = split(header).is_some_and(|(name, _)| name.eq_ignore_ascii_case(b"authentication-info"));
    if !informs && !scheme.eq_ignore_ascii_case(b"digest") {
        let begins = header.len() - value.trim_ascii_start().len() + scheme.len();
        secrets.push(offset + begins..offset + header.trim_ascii_end().len());
        return;
    }
    let mut at = colon + 1;
    while let Some(equals) = header.get(at..).and_then(|rest| memchr::memchr(b'=', rest)).map(|found| at + found) {
        let name = header.get(at..equals).unwrap_or_default().trim_ascii_end();
        let name = name.rsplit(|b| !b.is_ascii_alphanumeric()).next().unwrap_or_default();
        let value = value_after(header, equals + 1);
        if DIGESTS.iter().any(|digest| name.eq_ignore_ascii_case(digest)) {
            secrets.push(offset + value.start..offset + value.end);
        }
        at = value.end.max(equals + 1);
    }
}

/// The value of a parameter without its quotes; a quoted one without an end reaches to the end of the header.
fn value_after(header: &[u8], from: usize) -> Range<usize> {
    let rest = header.get(from..).unwrap_or_default();
    let start = from + (rest.len() - rest.trim_ascii_start().len());
    let rest = header.get(start..).unwrap_or_default();
    if rest.first() != Some(&b'"') {
        let length = rest.iter().position(|b| *b == b',' || b.is_ascii_whitespace()).unwrap_or(rest.len());
        return start..start + length;
    }
    let mut escaped = false;
    for (index, byte) in rest.iter().enumerate().skip(1) {
        match byte {
            b'"' if !escaped => return start + 1..start + index,
            _ => escaped = *byte == b'\\' && !escaped,
        }
    }
    start + 1..start + rest.len()
}

/// The key in a line of a session description: from its word to the end, without the line end.
fn key(line: &[u8]) -> Option<Range<usize>> {
    let begins = |prefix: &[u8]| line.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix));
    let (prefix, word) = KEYS.iter().find(|(prefix, _)| begins(prefix))?;
    let line = line.trim_ascii_end();
    let rest = line.get(prefix.len()..)?;
    let after = match word.is_empty() {
        true => 0,
        false => rest.windows(word.len()).position(|part| part.eq_ignore_ascii_case(word))? + word.len(),
    };
    Some(prefix.len() + after..line.len())
}
