//! `message/sipfrag` bodies (RFC 3420) as NOTIFYs of a REFER carry them.
use super::StatusCode;

/// The status of the first line, e.g. of `SIP/2.0 486 486`. Only the number counts: FreeSWITCH repeats it for a phrase.
pub fn status(body: &[u8]) -> Option<StatusCode> {
    let line = body.split(|b| matches!(b, b'\r' | b'\n')).find(|line| !line.is_empty())?;
    let line = std::str::from_utf8(line.get(..line.len().min(16))?).ok().or_else(|| {
        // A phrase in UTF-8 may be cut in the middle of a character; the number stands before it.
        std::str::from_utf8(line.get(..11)?).ok()
    })?;
    let mut words = line.split_ascii_whitespace();
    if !words.next()?.eq_ignore_ascii_case("SIP/2.0") {
        return None;
    }
    StatusCode::parse(words.next()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_number_counts() {
        let table: [(&[u8], Option<u16>); 9] = [
            (b"SIP/2.0 200 OK\r\n", Some(200)),
            (b"SIP/2.0 486 486", Some(486)),
            (b"\r\nSIP/2.0 100 Trying\r\nTo: x\r\n", Some(100)),
            (b"SIP/2.0 603", Some(603)),
            ("SIP/2.0 480 abcé".as_bytes(), Some(480)),
            (b"SIP/2.0 99 x", None),
            (b"INVITE sip:a@h SIP/2.0", None),
            (b"", None),
            (b"\xff\xfe", None),
        ];
        for (body, code) in table {
            assert_eq!(status(body).map(StatusCode::code), code, "{}", String::from_utf8_lossy(body));
        }
    }
}
