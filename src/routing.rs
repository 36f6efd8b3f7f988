//! Which secretary an INVITE is for.
use crate::{
    config::{Config, Peer},
    secretary::DomainRef,
};
use sip::IncomingInvite;

/// Names the tenant: UUID or name of its domain.
const DOMAIN_HEADER: &str = "x-ramal-domain";
/// Names the secretary's extension, where the R-URI user is something else.
const EXTENSION_HEADER: &str = "x-ramal-extension";

/// What to look up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The secretary's extension.
    pub extension: String,
    /// The tenant; `None` when nothing names one, and the extension must be unique by itself.
    pub domain: Option<DomainRef>,
}

/// Reads the R-URI and, from configured peers that are trusted with it, the `X-Ramal-` headers. A caller can put such
/// headers into an INVITE, and FreeSWITCH copies them (`freeswitch.md` §0.9), so nobody else is believed.
pub fn wanted(invite: &IncomingInvite, config: &Config) -> Wanted {
    let peer = config.peer(invite.remote.ip());
    let header = |name: &str| {
        let trusted = peer.is_some_and(|peer| peer.trusted_headers);
        let mut named = invite.x_headers.iter().filter(|(n, v)| n.eq_ignore_ascii_case(name) && !v.trim().is_empty());
        // The dialplan's header is the only one of its name (`freeswitch.md` §0.9); of several, none is to be believed.
        let value = named.next().filter(|_| trusted).map(|(_, value)| value.trim().to_owned());
        value.filter(|_| named.next().is_none())
    };
    let extension = header(EXTENSION_HEADER).unwrap_or_else(|| invite.request_user.clone());
    let domain = header(DOMAIN_HEADER)
        .map(|domain| DomainRef::from(domain.as_str()))
        .or_else(|| peer.and_then(|peer: &Peer| peer.domain.clone()))
        .or_else(|| registered(invite, config));
    Wanted { extension, domain }
}

/// A call to a Contact we registered belongs to that registration's tenant.
fn registered(invite: &IncomingInvite, config: &Config) -> Option<DomainRef> {
    let ours = config.registrations.iter().find(|registration| {
        registration.contact_user == invite.request_user
            && registration.registrar.host.parse().is_ok_and(|ip: std::net::IpAddr| ip == invite.remote.ip())
    });
    ours.map(|registration| DomainRef::from(registration.domain.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Environment;
    use sip::Transport;

    fn invite(remote: &str, headers: &[(&str, &str)]) -> IncomingInvite {
        IncomingInvite {
            remote: remote.parse().unwrap(),
            transport: Transport::Udp,
            call_id: "a".into(),
            request_user: "8000".into(),
            request_host: "127.0.0.1".into(),
            from_user: "1".into(),
            from_display: String::new(),
            to_user: "8000".into(),
            x_headers: headers.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect(),
            offer: None,
        }
    }

    fn config(text: &str) -> Config {
        Config::parse(text, "test.toml", &Environment::default()).unwrap()
    }

    #[test]
    fn headers_count_only_from_a_peer_that_is_trusted_with_them() {
        let config = config("[[peers]]\nname = \"pbx\"\naddresses = [\"127.0.0.2\"]\n");
        let headers = [("X-Ramal-Domain", "acme.example"), ("x-ramal-extension", "9000")];
        let of_peer = wanted(&invite("127.0.0.2:5060", &headers), &config);
        assert_eq!(of_peer.extension, "9000");
        assert_eq!(of_peer.domain, Some(DomainRef::Name("acme.example".into())));
        let of_stranger = wanted(&invite("127.0.0.3:5060", &headers), &config);
        assert_eq!(of_stranger, Wanted { extension: "8000".into(), domain: None });
    }

    #[test]
    fn a_header_sent_twice_is_not_believed() {
        let config = config("[[peers]]\nname = \"pbx\"\naddresses = [\"127.0.0.2\"]\n");
        let headers = [("X-Ramal-Domain", "evil.example"), ("X-Ramal-Domain", "acme.example")];
        assert_eq!(wanted(&invite("127.0.0.2:5060", &headers), &config).domain, None);
    }

    #[test]
    fn an_untrusted_peer_still_has_its_own_domain() {
        let text = "[[peers]]\nname = \"pbx\"\naddresses = [\"127.0.0.2\"]\ntrusted_headers = false\ndomain = \"acme.example\"\n";
        let wanted = wanted(&invite("127.0.0.2:5060", &[("X-Ramal-Domain", "evil.example")]), &config(text));
        assert_eq!(wanted.domain, Some(DomainRef::Name("acme.example".into())));
    }
}
