//! Scanners, by the name they give themselves: recognised before a message is read.

/// Programs that look for PBXs to abuse, as they call themselves in User-Agent; parts of it, in lower case.
pub(super) const KNOWN: [&str; 8] =
    ["friendly-scanner", "sipvicious", "sipcli", "sip-scan", "sip scan", "vaxsipuseragent", "pplsip", "sundayddr"];

/// How far into a datagram we look.
const HEADERS: usize = 4_096;
const USER_AGENT: &[u8] = b"user-agent";

/// Whether the User-Agent of this message has one of these names in it. Linear, and nothing is copied.
pub(super) fn is_scanner(bytes: &[u8], names: &[String]) -> bool {
    let headers = bytes.get(..HEADERS).unwrap_or(bytes);
    let mut lines = headers.split(|byte| *byte == b'\n').take_while(|line| !matches!(line, [] | [b'\r']));
    let Some(agent) = lines.find_map(user_agent) else { return false };
    names.iter().any(|name| has(agent, name.as_bytes()))
}

fn user_agent(line: &[u8]) -> Option<&[u8]> {
    let (name, rest) = line.split_at_checked(USER_AGENT.len())?;
    name.eq_ignore_ascii_case(USER_AGENT).then_some(rest)
}

fn has(text: &[u8], name: &[u8]) -> bool {
    !name.is_empty() && text.windows(name.len()).any(|window| window.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Vec<String> {
        KNOWN.map(str::to_owned).to_vec()
    }

    #[test]
    fn scanners_are_known_by_their_user_agent() {
        let with =
            |line: &str| format!("OPTIONS sip:100@192.0.2.1 SIP/2.0\r\nVia: x\r\n{line}\r\nContent-Length: 0\r\n\r\n");
        for (line, want) in [
            ("User-Agent: friendly-scanner", true),
            ("user-agent:FRIENDLY-SCANNER", true),
            ("User-Agent : sipvicious/0.3", true),
            ("User-Agent: VaxSIPUserAgent/3.1", true),
            ("User-Agent: FreeSWITCH-mod_sofia/1.10.12", false),
            ("User-Agent: sipsak 0.9.8", false),
            ("User-Agent:", false),
            ("Subject: friendly-scanner", false),
            ("X-User-Agent: friendly-scanner", false),
            ("Subject: x\r\n\r\nUser-Agent: friendly-scanner", false),
        ] {
            assert_eq!(is_scanner(with(line).as_bytes(), &names()), want, "{line}");
        }
        assert!(!is_scanner(b"", &names()));
        assert!(!is_scanner(&[0xff; 2_000], &names()));
        assert!(!is_scanner(with("User-Agent: x").as_bytes(), &[String::new()]), "an empty name is in everything");
    }
}
