//! Which secretary an INVITE is for.
use crate::{
    accounts::{Known, Registrar},
    config::{Config, Listener, Peer, Srtp},
    dtmf::Dtmf,
    secretary::DomainRef,
};
use media::{codec::Codec, sdp::Preference};
use sip::{IncomingInvite, Transport};
use std::net::IpAddr;

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
/// headers into an INVITE, and FreeSWITCH copies them (`freeswitch.md` §0.9), so nobody else is believed. `registrars`
/// are those we register with.
pub fn wanted(invite: &IncomingInvite, config: &Config, registrars: &Known) -> Wanted {
    let peer = config.peer(invite.user.as_deref(), invite.remote.ip());
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
        .or_else(|| registered(invite, registrars).map(|registrar| registrar.account.tenant.clone()));
    Wanted { extension, domain }
}

/// Whether the audio of this call is encrypted: as is said of the account it comes through, else of the peer, else of the
/// listener, else of all.
pub fn srtp(invite: &IncomingInvite, config: &Config, registrars: &Known) -> Srtp {
    let account = registered(invite, registrars).and_then(|registrar| registrar.account.registration.srtp);
    let peer = || config.peer(invite.user.as_deref(), invite.remote.ip()).and_then(|peer| peer.srtp);
    let listener = || listener(invite, config).and_then(|listener| listener.srtp);
    account.or_else(peer).or_else(listener).unwrap_or(config.rtp.srtp)
}

/// The codecs of this call, the preferred first, and whose order chooses: as is said of the account it comes through, else
/// of the peer, else of the listener, else of all.
pub fn codecs(invite: &IncomingInvite, config: &Config, registrars: &Known) -> (Vec<Codec>, Preference) {
    let account = registered(invite, registrars).map(|registrar| &registrar.account.registration);
    config.codecs(account, config.peer(invite.user.as_deref(), invite.remote.ip()), listener(invite, config))
}

/// How keys pass in this call: as is said of the account it comes through, else of the peer, else of all.
pub fn dtmf(invite: &IncomingInvite, config: &Config, registrars: &Known) -> Dtmf {
    let account = registered(invite, registrars).and_then(|registrar| registrar.account.registration.dtmf);
    let peer = || config.peer(invite.user.as_deref(), invite.remote.ip()).and_then(|peer| peer.dtmf);
    account.or_else(peer).unwrap_or(config.rtp.dtmf)
}

/// Whether keys in the descriptions of this call can be read by those who pass them on (RFC 4568 §8.3): its signalling is
/// in the clear, and leaves this machine.
pub fn keys_are_readable(invite: &IncomingInvite) -> bool {
    invite.transport != Transport::Tls && !invite.remote.ip().to_canonical().is_loopback()
}

/// Where it came to; `None` for a connection that we opened.
fn listener<'a>(invite: &IncomingInvite, config: &'a Config) -> Option<&'a Listener> {
    config.sip.listeners.get(usize::from(invite.listener.0))
}

/// A call to a Contact we registered belongs to that registration.
fn registered<'a>(invite: &IncomingInvite, registrars: &'a Known) -> Option<&'a Registrar> {
    let through = |registrar: &&Registrar| {
        registrar.account.registration.contact_user == invite.request_user
            && is_among(invite.remote.ip(), &registrar.addresses)
    };
    registrars.values().find(through)
}

/// Whether a registrar has this address. An IPv4 address that came through an IPv6 socket is the IPv4 address.
fn is_among(address: IpAddr, registrar: &[IpAddr]) -> bool {
    registrar.iter().any(|ip| ip.to_canonical() == address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{accounts::Account, config::Environment};
    use sip::{ListenerId, RegistrationId};

    fn invite(remote: &str, headers: &[(&str, &str)]) -> IncomingInvite {
        IncomingInvite {
            remote: remote.parse().unwrap(),
            listener: ListenerId(0),
            user: None,
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
        let of_peer = wanted(&invite("127.0.0.2:5060", &headers), &config, &Known::new());
        assert_eq!(of_peer.extension, "9000");
        assert_eq!(of_peer.domain, Some(DomainRef::Name("acme.example".into())));
        let of_stranger = wanted(&invite("127.0.0.3:5060", &headers), &config, &Known::new());
        assert_eq!(of_stranger, Wanted { extension: "8000".into(), domain: None });
    }

    #[test]
    fn a_peer_that_proved_who_it_is_is_known_wherever_it_is() {
        let text = "[[peers]]\nname = \"a\"\naddresses = [\"127.0.0.2\"]\ndomain = \"a.example\"\n\
                    [[peers]]\nname = \"b\"\nuser = \"b\"\npassword = \"x\"\ndomain = \"b.example\"\n";
        let config = config(text);
        for (user, domain) in [(Some("b"), Some("b.example")), (None, Some("a.example")), (Some("c"), None)] {
            let invite = IncomingInvite { user: user.map(str::to_owned), ..invite("127.0.0.2:5060", &[]) };
            assert_eq!(wanted(&invite, &config, &Known::new()).domain, domain.map(DomainRef::from), "{user:?}");
        }
    }

    #[test]
    fn an_account_says_more_of_encryption_than_its_peer_a_peer_more_than_the_listener_and_that_more_than_all() {
        let text = "[sip]\nudp = [\"192.0.2.9:5060\"]\n\
                    [[listeners]]\ntransport = \"udp\"\naddress = \"192.0.2.9:5070\"\nsrtp = \"off\"\n\
                    [rtp]\nsrtp = \"required\"\n\
                    [[peers]]\nname = \"a\"\naddresses = [\"192.0.2.1\", \"192.0.2.2\"]\nsrtp = \"off\"\n\
                    [[peers]]\nname = \"b\"\naddresses = [\"192.0.2.3\"]\n\
                    [[registrations]]\nregistrar = \"a.example\"\nuser = \"8000\"\npassword = \"x\"\nsrtp = \"required\"\n";
        let config = config(text);
        let account = Account::of_file(config.registrations[0].clone());
        let registrar = Registrar { account, addresses: vec!["192.0.2.2".parse().unwrap()] };
        let registrars = Known::from([(RegistrationId(0), registrar)]);
        for (remote, expected) in
            [("192.0.2.1", Srtp::Off), ("192.0.2.2", Srtp::Required), ("192.0.2.3", Srtp::Required)]
        {
            assert_eq!(srtp(&invite(&format!("{remote}:5060"), &[]), &config, &registrars), expected, "{remote}");
        }
        let there = |remote| IncomingInvite { listener: ListenerId(1), ..invite(remote, &[]) };
        for (remote, expected) in [("192.0.2.2:5060", Srtp::Required), ("192.0.2.3:5060", Srtp::Off)] {
            assert_eq!(srtp(&there(remote), &config, &registrars), expected, "{remote} at the other listener");
        }
    }

    #[test]
    fn an_account_has_its_own_codecs_and_what_it_leaves_open_its_peer_says_then_the_listener_and_then_all() {
        let text = "[sip]\nudp = [\"192.0.2.9:5060\"]\n\
                    [[listeners]]\ntransport = \"udp\"\naddress = \"192.0.2.9:5070\"\ncodecs = [\"opus\"]\ncodec_order = \"ours\"\n\
                    [rtp]\ncodecs = [\"PCMU\"]\n\
                    [[peers]]\nname = \"a\"\naddresses = [\"192.0.2.1\", \"192.0.2.2\"]\ncodecs = [\"PCMA\"]\ncodec_order = \"ours\"\n\
                    [[registrations]]\nregistrar = \"a.example\"\nuser = \"8000\"\npassword = \"x\"\ncodecs = [\"G722\", \"opus\"]\n";
        let config = config(text);
        let account = Account::of_file(config.registrations[0].clone());
        let registrar = Registrar { account, addresses: vec!["192.0.2.2".parse().unwrap()] };
        let registrars = Known::from([(RegistrationId(0), registrar)]);
        for (remote, list, order) in [
            ("192.0.2.1", vec![Codec::Pcma], Preference::Ours),
            ("192.0.2.2", vec![Codec::G722, Codec::Opus], Preference::Ours),
            ("192.0.2.3", vec![Codec::Pcmu], Preference::Theirs),
        ] {
            let found = codecs(&invite(&format!("{remote}:5060"), &[]), &config, &registrars);
            assert_eq!(found, (list, order), "{remote}");
        }
        let there = |remote| IncomingInvite { listener: ListenerId(1), ..invite(remote, &[]) };
        for (remote, list) in [("192.0.2.1:5060", Codec::Pcma), ("192.0.2.3:5060", Codec::Opus)] {
            let found = codecs(&there(remote), &config, &registrars);
            assert_eq!(found, (vec![list], Preference::Ours), "{remote} at the other listener");
        }
        let elsewhere = IncomingInvite { request_user: "9000".into(), ..invite("192.0.2.2:5060", &[]) };
        assert_eq!(codecs(&elsewhere, &config, &registrars).0, [Codec::Pcma], "not through that account");
    }

    #[test]
    fn an_account_says_more_of_keys_than_its_peer_and_a_peer_more_than_all() {
        let text = "[rtp]\ndtmf = \"inband\"\n\
                    [[peers]]\nname = \"a\"\naddresses = [\"192.0.2.1\", \"192.0.2.2\"]\ndtmf = \"info\"\n\
                    [[peers]]\nname = \"b\"\naddresses = [\"192.0.2.3\"]\n\
                    [[registrations]]\nregistrar = \"a.example\"\nuser = \"8000\"\npassword = \"x\"\ndtmf = \"rfc4733\"\n";
        let config = config(text);
        let account = Account::of_file(config.registrations[0].clone());
        let registrar = Registrar { account, addresses: vec!["192.0.2.2".parse().unwrap()] };
        let registrars = Known::from([(RegistrationId(0), registrar)]);
        for (remote, expected) in [("192.0.2.1", Dtmf::Info), ("192.0.2.2", Dtmf::Rfc4733), ("192.0.2.3", Dtmf::Inband)]
        {
            assert_eq!(dtmf(&invite(&format!("{remote}:5060"), &[]), &config, &registrars), expected, "{remote}");
        }
    }

    #[test]
    fn rfc4568_8_3_keys_are_safe_over_tls_and_within_this_machine() {
        let readable = |transport, remote| keys_are_readable(&IncomingInvite { transport, ..invite(remote, &[]) });
        assert!(readable(Transport::Udp, "192.0.2.1:5060") && readable(Transport::Tcp, "[2001:db8::1]:5060"));
        assert!(!readable(Transport::Tls, "192.0.2.1:5060"));
        assert!(!readable(Transport::Udp, "[::ffff:127.0.0.1]:5060") && !readable(Transport::Tcp, "[::1]:5060"));
    }

    #[test]
    fn a_header_sent_twice_is_not_believed() {
        let config = config("[[peers]]\nname = \"pbx\"\naddresses = [\"127.0.0.2\"]\n");
        let headers = [("X-Ramal-Domain", "evil.example"), ("X-Ramal-Domain", "acme.example")];
        assert_eq!(wanted(&invite("127.0.0.2:5060", &headers), &config, &Known::new()).domain, None);
    }

    #[test]
    fn an_untrusted_peer_still_has_its_own_domain() {
        let text = "[[peers]]\nname = \"pbx\"\naddresses = [\"127.0.0.2\"]\ntrusted_headers = false\ndomain = \"acme.example\"\n";
        let headers = [("X-Ramal-Domain", "evil.example")];
        let wanted = wanted(&invite("127.0.0.2:5060", &headers), &config(text), &Known::new());
        assert_eq!(wanted.domain, Some(DomainRef::Name("acme.example".into())));
    }

    #[test]
    fn a_call_from_a_registrar_known_by_name_belongs_to_the_tenant_of_that_account() {
        let account = |host: &str, user: &str, domain: &str| {
            format!(
                "[[registrations]]\nregistrar = \"{host}\"\ndomain = \"{domain}\"\nuser = \"{user}\"\npassword = \"x\"\n"
            )
        };
        let accounts = [
            account("a.example", "8000", "acme.example"),
            account("b.example", "8000", "bolt.example"),
            account("c.example", "9000", "cask.example"),
        ];
        let config = config(&accounts.concat());
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let addresses = [vec![], vec![ip("192.0.2.1"), ip("192.0.2.2")], vec![ip("192.0.2.3")]];
        let accounts = config.registrations.iter().cloned().map(Account::of_file);
        let registrars = accounts.zip(addresses).map(|(account, addresses)| Registrar { account, addresses });
        let registrars: Known = (0..).map(RegistrationId).zip(registrars).collect();
        for (remote, domain) in [
            ("192.0.2.2:5060", Some("bolt.example")),
            ("[::ffff:192.0.2.1]:5060", Some("bolt.example")),
            ("192.0.2.3:5060", None),
            ("192.0.2.9:5060", None),
        ] {
            let wanted = wanted(&invite(remote, &[]), &config, &registrars);
            assert_eq!(wanted.domain, domain.map(DomainRef::from), "{remote}");
        }
    }
}
