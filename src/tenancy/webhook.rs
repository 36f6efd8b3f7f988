//! Whom the server calls because a tenant's settings say so: nobody within its own network, and nobody in the clear. PURE.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Names of machines and networks that are nobody's in public.
const WITHIN: [&str; 4] = ["localhost", "local", "internal", "home.arpa"];

/// What speaks against calling this URL, as far as it can be seen; where its name leads shows when it is called.
pub fn refused(url: &str) -> Option<&'static str> {
    let Some(rest) = url.strip_prefix("https://") else {
        return Some("must start with \"https://\", as long as [limits] webhooks is \"public\"");
    };
    let within = "leads into the server's own network, as long as [limits] webhooks is \"public\"";
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    let place = authority.rsplit('@').next().unwrap_or_default();
    let host = match place.strip_prefix('[') {
        Some(literal) => literal.split(']').next(),
        None => place.split(':').next(),
    };
    let host = host.unwrap_or_default().trim_end_matches('.').to_ascii_lowercase();
    if let Ok(ip) = host.parse::<IpAddr>() {
        return is_within(ip).then_some(within);
    }
    let named =
        WITHIN.iter().any(|name| host.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')));
    // A name without a dot is one of this network's; of digits alone, an address in disguise.
    let plain = !host.contains('.')
        || host.rsplit('.').next().is_some_and(|last| last.starts_with(|c: char| c.is_ascii_digit()));
    (named || plain).then_some(within)
}

/// Whether an address is of this machine, or of a network that is not public.
pub fn is_within(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_v4_within(ip),
        IpAddr::V6(ip) => is_v6_within(ip),
    }
}

/// RFC 6890, of which std knows some.
fn is_v4_within(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let special = matches!((a, b, c), (0 | 240..=255, _, _) | (100, 64..=127, _) | (192, 0, 0) | (198, 18..=19, _));
    special || ip.is_loopback() || ip.is_private() || ip.is_link_local() || ip.is_multicast() || ip.is_documentation()
}

/// The public ones are of 2000::/3, but for those that stand for an address of IPv4 or for none.
fn is_v6_within(ip: Ipv6Addr) -> bool {
    let segments = ip.segments();
    let [first, second, ..] = segments;
    let inner = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_v4_within(Ipv4Addr::new(a, b, c, d))
    };
    match segments {
        // RFC 6052 and RFC 3056: behind a gateway it is that one's.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => inner(high, low),
        [0x2002, high, low, ..] => inner(high, low),
        [0, 0, 0, 0, 0, 0xffff, high, low] => inner(high, low),
        _ => first & 0xe000 != 0x2000 || (first == 0x2001 && (second < 0x0200 || second == 0x0db8)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_public_is_within() {
        for (ip, within) in [
            ("127.0.0.1", true),
            ("10.1.2.3", true),
            ("172.31.0.1", true),
            ("192.168.0.1", true),
            ("169.254.169.254", true),
            ("100.64.0.1", true),
            ("0.0.0.0", true),
            ("198.19.0.1", true),
            ("224.0.0.1", true),
            ("255.255.255.255", true),
            ("8.8.8.8", false),
            ("172.32.0.1", false),
            ("100.128.0.1", false),
            ("::1", true),
            ("::", true),
            ("fe80::1", true),
            ("fd00::1", true),
            ("ff02::1", true),
            ("::ffff:10.0.0.1", true),
            ("::ffff:8.8.8.8", false),
            ("64:ff9b::a00:1", true),
            ("64:ff9b::808:808", false),
            ("2002:a00:1::1", true),
            ("2001:db8::1", true),
            ("2001::1", true),
            ("2606:4700::1111", false),
        ] {
            assert_eq!(is_within(ip.parse().unwrap()), within, "{ip}");
        }
    }

    #[test]
    fn only_what_is_encrypted_and_public_is_called() {
        for (url, called) in [
            ("https://billing.example/ramal?x=1", true),
            ("https://user:word@billing.example:8443/", true),
            ("https://93.184.215.14/", true),
            ("https://[2606:4700::1111]:8443/x", true),
            ("http://billing.example/", false),
            ("ftp://billing.example/", false),
            ("https://", false),
            ("https://localhost/", false),
            ("https://LOCALHOST./", false),
            ("https://db.local:5432", false),
            ("https://metadata.google.internal/", false),
            ("https://intranet/", false),
            ("https://10.0.0.1/", false),
            ("https://public.example@10.0.0.1/", false),
            ("https://10.0.0.1\\@public.example/", false),
            ("https://2130706433/", false),
            ("https://0x7f.1/", false),
            ("https://[::1]/", false),
            ("https://[::ffff:127.0.0.1]/", false),
            ("https://notlocal.example/", true),
        ] {
            assert_eq!(refused(url).is_none(), called, "{url}: {:?}", refused(url));
        }
    }
}
