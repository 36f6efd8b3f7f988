use super::*;

const DAY: Duration = Duration::from_secs(86_400);
const V4: &str = "198.51.100.1";
const V6: &str = "2001:db8::1";

/// A zone: one record a line, as `name TYPE data`. `FAIL` stands for a server that does not answer.
struct Zone(&'static str);

impl Zone {
    fn answer(&self, query: &Query) -> Answer {
        let (name, kinds) = match query {
            Query::Naptr(name) => (name, &["NAPTR"][..]),
            Query::Srv(name) => (name, &["SRV"][..]),
            Query::Addresses(name) => (name, &["A", "AAAA"][..]),
        };
        let records: Vec<Vec<&str>> = self
            .0
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>())
            .filter(|words| words.len() > 1 && words[0] == name && (kinds.contains(&words[1]) || words[1] == "FAIL"))
            .collect();
        if records.iter().any(|words| words[1] == "FAIL") {
            return Answer::Failed;
        }
        let number = |word: &str| word.parse::<u16>().unwrap();
        match query {
            _ if records.is_empty() => Answer::None,
            Query::Naptr(_) => Answer::Naptr(
                records
                    .iter()
                    .map(|w| Naptr {
                        order: number(w[2]),
                        preference: number(w[3]),
                        flags: w[4].into(),
                        service: w[5].into(),
                        replacement: w[6].into(),
                    })
                    .collect(),
            ),
            Query::Srv(_) => {
                Answer::Srv(records.iter().map(|w| srv(number(w[2]), number(w[3]), number(w[4]), w[5])).collect())
            }
            Query::Addresses(_) => Answer::Addresses(records.iter().map(|w| w[2].parse().unwrap()).collect()),
        }
    }
}

fn srv(priority: u16, weight: u16, port: u16, target: &str) -> Srv {
    Srv { priority, weight, port, target: target.into() }
}

fn reach(transports: &[Transport]) -> Reach {
    Reach::new(transports.iter().map(|transport| (*transport, V4.parse().unwrap())))
}

fn all() -> Reach {
    reach(&[Transport::Udp, Transport::Tcp, Transport::Tls])
}

/// What was asked, and what was found, each as text.
fn run(location: Result<Location, LocateError>, zone: &Zone) -> (Vec<String>, Vec<String>) {
    let mut location = match location {
        Ok(location) => location,
        Err(error) => return (Vec::new(), vec![error.to_string()]),
    };
    let mut asked = Vec::new();
    while let Some(query) = location.poll_query() {
        assert_eq!(location.located(), None);
        asked.push(match &query {
            Query::Naptr(name) => format!("NAPTR {name}"),
            Query::Srv(name) => format!("SRV {name}"),
            Query::Addresses(name) => format!("A {name}"),
        });
        location.handle_answer(&query, zone.answer(&query), DAY);
    }
    let targets = location.located().unwrap().targets;
    (asked, targets.iter().map(|t| format!("{:?} {}", t.transport, t.remote).to_lowercase()).collect())
}

fn of(uri: &str, reach: Reach, zone: &Zone) -> (Vec<String>, Vec<String>) {
    run(Location::of(&Uri::parse(uri).unwrap(), reach, 1), zone)
}

/// The domain of RFC 3263 §4.1 and §4.2.
const EXAMPLE: Zone = Zone(
    "example.com NAPTR 50 50 s SIPS+D2T _sips._tcp.example.com.
     example.com NAPTR 90 50 s SIP+D2T _sip._tcp.example.com.
     example.com NAPTR 100 50 s SIP+D2U _sip._udp.example.com.
     _sip._tcp.example.com SRV 0 1 5060 server1.example.com.
     _sip._tcp.example.com SRV 1 2 5060 server2.example.com.
     _sip._udp.example.com SRV 0 1 5060 server1.example.com.
     _sips._tcp.example.com SRV 0 1 5061 server1.example.com.
     server1.example.com A 192.0.2.1
     server2.example.com A 192.0.2.2
     example.com A 192.0.2.80",
);

/// RFC 3263 §4.1: "a client that supports TCP and UDP, but not TLS".
#[test]
fn the_example_of_the_rfc() {
    let (asked, found) = of("sip:user@example.com", reach(&[Transport::Udp, Transport::Tcp]), &EXAMPLE);
    let want = ["NAPTR example.com", "SRV _sip._tcp.example.com", "A server1.example.com", "A server2.example.com"];
    assert_eq!(asked, want);
    assert_eq!(found, ["tcp 192.0.2.1:5060", "tcp 192.0.2.2:5060"]);
    let (asked, found) = of("sip:user@example.com", all(), &EXAMPLE);
    assert_eq!(asked[1..], ["SRV _sips._tcp.example.com", "A server1.example.com"]);
    assert_eq!(found, ["tls 192.0.2.1:5061"]);
}

/// RFC 3263 §4.1 and §4.2, what is decided before DNS is asked: URI, what is asked, what is found.
#[test]
fn what_the_uri_says_is_not_asked_for() {
    const ZONE: Zone = Zone("pbx.example A 192.0.2.9");
    let table: &[(&str, &[&str], &[&str])] = &[
        // A numeric host needs no lookup: UDP for sip, TLS for sips, unless the URI names another.
        ("sip:192.0.2.5", &[], &["udp 192.0.2.5:5060"]),
        ("sip:192.0.2.5:5080", &[], &["udp 192.0.2.5:5080"]),
        ("sip:192.0.2.5;transport=tcp", &[], &["tcp 192.0.2.5:5060"]),
        ("sip:192.0.2.5;transport=TLS", &[], &["tls 192.0.2.5:5061"]),
        ("sips:192.0.2.5", &[], &["tls 192.0.2.5:5061"]),
        ("sips:192.0.2.5:5070;transport=tcp", &[], &["tls 192.0.2.5:5070"]),
        // A family that no listener of ours has.
        ("sip:[2001:db8::5]:5080", &[], &[]),
        // A port means no SRV, and no NAPTR either.
        ("sip:pbx.example:5090", &["A pbx.example"], &["udp 192.0.2.9:5090"]),
        ("sip:PBX.example.:5090;transport=tcp", &["A pbx.example"], &["tcp 192.0.2.9:5090"]),
        ("sips:pbx.example:5090", &["A pbx.example"], &["tls 192.0.2.9:5090"]),
        // A transport means no NAPTR. Without SRV records the host itself is asked for.
        ("sip:pbx.example;transport=tcp", &["SRV _sip._tcp.pbx.example", "A pbx.example"], &["tcp 192.0.2.9:5060"]),
        ("sips:pbx.example;transport=tcp", &["SRV _sips._tcp.pbx.example", "A pbx.example"], &["tls 192.0.2.9:5061"]),
        // RFC 3263 §4: maddr is the target.
        ("sip:pbx.example;maddr=192.0.2.77", &[], &["udp 192.0.2.77:5060"]),
        ("sips:pbx.example;transport=udp", &[], &["over no transport that we have"]),
        ("sip:pbx.example;transport=sctp", &[], &["over no transport that we have"]),
        ("tel:+551130000001", &[], &["not a SIP URI"]),
    ];
    for (uri, asked, found) in table {
        let got = of(uri, all(), &ZONE);
        assert_eq!((got.0, got.1), (asked.map_text(), found.map_text()), "{uri}");
    }
}

trait MapText {
    fn map_text(&self) -> Vec<String>;
}

impl MapText for &[&str] {
    fn map_text(&self) -> Vec<String> {
        self.iter().map(|text| (*text).to_owned()).collect()
    }
}

/// RFC 3263 §4.1: without NAPTR records, SRV for each transport of ours in our order; without those, the host.
#[test]
fn a_domain_without_naptr_is_asked_for_each_transport_of_ours() {
    const ZONE: Zone = Zone(
        "_sip._tcp.pbx.example SRV 0 0 5070 a.pbx.example.
         _sip._udp.pbx.example SRV 0 0 5072 a.pbx.example.
         a.pbx.example A 192.0.2.1
         bare.example A 192.0.2.3",
    );
    let (asked, found) = of("sip:pbx.example", reach(&[Transport::Tcp, Transport::Udp]), &ZONE);
    let srv = ["SRV _sip._tcp.pbx.example", "SRV _sip._udp.pbx.example"];
    assert_eq!(asked, ["NAPTR pbx.example", srv[0], srv[1], "A a.pbx.example"], "no host is asked for twice");
    assert_eq!(found, ["tcp 192.0.2.1:5070", "udp 192.0.2.1:5072"]);
    let (asked, found) = of("sips:bare.example", all(), &ZONE);
    assert_eq!(asked, ["NAPTR bare.example", "SRV _sips._tcp.bare.example", "A bare.example"]);
    assert_eq!(found, ["tls 192.0.2.3:5061"]);
    let (_, found) = of("sip:bare.example", reach(&[Transport::Tcp, Transport::Udp]), &ZONE);
    assert_eq!(found, ["udp 192.0.2.3:5060"], "UDP is what sip means where nobody says anything");
    let (_, found) = of("sip:bare.example", reach(&[Transport::Tcp]), &ZONE);
    assert_eq!(found, ["tcp 192.0.2.3:5060"]);
    let (_, found) = of("sip:bare.example", reach(&[Transport::Tls]), &ZONE);
    assert_eq!(found, [""; 0], "a sip URI does not mean TLS unless DNS says so");
}

/// RFC 3263 §4.1, RFC 3403 §4.1: which NAPTR records count, in what order.
#[test]
fn naptr_records_of_use_are_taken_by_order_then_preference() {
    const ZONE: Zone = Zone(
        "one.example NAPTR 10 20 s SIP+D2U _sip._udp.one.example.
         one.example NAPTR 10 10 S sip+d2t _sip._tcp.one.example.
         one.example NAPTR 20 10 s SIPS+D2T _sips._tcp.one.example.
         one.example NAPTR 5 10 u E2U+sip !^.*$!sip:x@one.example!
         one.example NAPTR 5 10 s SIP+D2S _sip._sctp.one.example.
         one.example NAPTR 5 10 a SIP+D2U host.one.example.
         _sip._udp.one.example SRV 0 0 5060 u.one.example.
         _sip._tcp.one.example SRV 0 0 5060 t.one.example.
         _sips._tcp.one.example SRV 0 0 5061 s.one.example.
         u.one.example A 192.0.2.1
         t.one.example A 192.0.2.2
         s.one.example A 192.0.2.3
         else.example NAPTR 10 10 s SIP+D2U _sip._udp.hosted.example.
         _sip._udp.hosted.example SRV 0 0 5080 u.one.example.
         void.example NAPTR 10 10 s SIP+D2T _sip._tcp.void.example.
         void.example A 192.0.2.4",
    );
    let (_, found) = of("sip:one.example", all(), &ZONE);
    assert_eq!(found, ["tcp 192.0.2.2:5060", "udp 192.0.2.1:5060"], "a higher order is not for failover");
    let (asked, found) = of("sips:one.example", all(), &ZONE);
    assert_eq!((asked[1].as_str(), &found[..]), ("SRV _sips._tcp.one.example", &["tls 192.0.2.3:5061".to_owned()][..]));
    let (_, found) = of("sip:else.example", all(), &ZONE);
    assert_eq!(found, ["udp 192.0.2.1:5080"], "the replacement may be in another domain");
    let (asked, found) = of("sip:void.example", all(), &ZONE);
    assert_eq!(asked, ["NAPTR void.example", "SRV _sip._tcp.void.example", "A void.example"]);
    assert_eq!(found, ["tcp 192.0.2.4:5060"], "§4.2: by the transport that NAPTR named");
}

#[test]
fn srv_records_are_taken_by_priority_and_a_dot_means_no() {
    const ZONE: Zone = Zone(
        "_sip._udp.pbx.example SRV 20 0 5062 c.pbx.example.
         _sip._udp.pbx.example SRV 10 0 5061 b.pbx.example.
         _sip._udp.pbx.example SRV 10 0 5060 a.pbx.example.
         _sip._udp.shut.example SRV 0 0 0 .
         a.pbx.example A 192.0.2.1
         b.pbx.example A 192.0.2.2
         c.pbx.example A 192.0.2.3
         shut.example A 192.0.2.4",
    );
    let (_, found) = of("sip:pbx.example;transport=udp", all(), &ZONE);
    assert_eq!(found, ["udp 192.0.2.1:5060", "udp 192.0.2.2:5061", "udp 192.0.2.3:5062"]);
    let (asked, found) = of("sip:shut.example;transport=udp", all(), &ZONE);
    assert_eq!((asked, found), (vec!["SRV _sip._udp.shut.example".to_owned()], vec![]), "RFC 2782: decidedly not");
}

#[test]
fn families_take_turns_beginning_with_that_of_our_first_listener() {
    const ZONE: Zone = Zone(
        "pbx.example A 192.0.2.1
         pbx.example A 192.0.2.2
         pbx.example AAAA 2001:db8::11",
    );
    let families = |listeners: &[&str]| {
        let reach = Reach::new(listeners.iter().map(|at| (Transport::Udp, at.parse().unwrap())));
        let (_, found) = of("sip:pbx.example:5060", reach, &ZONE);
        found.iter().map(|target| if target.contains('[') { 6 } else { 4 }).collect::<Vec<_>>()
    };
    assert_eq!(families(&[V4]), [4, 4]);
    assert_eq!(families(&[V6]), [6]);
    assert_eq!(families(&[V6, V4]), [6, 4, 4]);
    assert_eq!(families(&[V4, V6]), [4, 6, 4]);
}

/// RFC 2782: the first of equals is drawn by weight; here by 4000 seeds, each share within 3 of a hundred.
#[test]
fn weights_are_shares() {
    let mut first = BTreeMap::<String, u32>::new();
    for seed in 0..4_000 {
        let records =
            vec![srv(1, 60, 1, "a."), srv(1, 30, 1, "b."), srv(1, 10, 1, "c."), srv(1, 0, 1, "d."), srv(2, 9, 1, "e.")];
        let places = records::places(records, Transport::Udp, &mut Random::new(seed));
        assert_eq!((places.len(), places[4].host.as_str()), (5, "e"), "all are there, the priority comes first");
        *first.entry(places[0].host.clone()).or_default() += 1;
    }
    for (host, percent) in [("a", 60), ("b", 30), ("c", 10), ("d", 1)] {
        let share = first.get(host).copied().unwrap_or_default() / 40;
        assert!(share.abs_diff(percent) <= 3, "{host}: {share} of {percent}");
    }
}

#[test]
fn the_order_of_an_answer_does_not_decide() {
    let records = [srv(1, 5, 1, "a."), srv(1, 5, 2, "b."), srv(1, 5, 3, "c."), srv(0, 0, 4, "d.")];
    let addresses: Vec<IpAddr> = (1..6).map(|host| IpAddr::from([192, 0, 2, host])).collect();
    for seed in 0..20 {
        let draw = |records: Vec<Srv>| records::places(records, Transport::Udp, &mut Random::new(seed));
        let mut turned = records.to_vec();
        turned.rotate_left(2);
        assert_eq!(draw(records.to_vec()), draw(turned));
        let shuffled = |addresses: Vec<IpAddr>| records::shuffled(addresses, &mut Random::new(seed));
        assert_eq!(shuffled(addresses.clone()), shuffled(addresses.iter().rev().copied().collect()));
    }
    let first = |seed| records::shuffled(addresses.clone(), &mut Random::new(seed))[0];
    assert!((0..20).any(|seed| first(seed) != first(0)), "addresses of one name share the load");
}

/// A resolver that fails says nothing about the domain.
#[test]
fn failures_are_not_taken_for_absence() {
    const ZONE: Zone = Zone(
        "naptr.example FAIL
         _sip._udp.naptr.example SRV 0 0 5080 a.naptr.example.
         a.naptr.example A 192.0.2.1
         _sip._udp.srv.example FAIL
         srv.example A 192.0.2.2
         _sip._udp.half.example SRV 0 0 5060 dead.half.example.
         _sip._udp.half.example SRV 1 0 5060 a.naptr.example.
         dead.half.example FAIL",
    );
    let udp = || reach(&[Transport::Udp]);
    assert_eq!(of("sip:naptr.example", udp(), &ZONE).1, ["udp 192.0.2.1:5080"], "SRV says where");
    assert_eq!(of("sip:srv.example", udp(), &ZONE).1, [""; 0], "the host is no substitute for its SRV records");
    assert_eq!(of("sip:half.example", udp(), &ZONE).1, ["udp 192.0.2.1:5060"], "the others are still there");
}

#[test]
fn the_shortest_ttl_counts_within_bounds() {
    let valid = |ttls: [u64; 2], last: Answer| {
        let uri = Uri::parse("sip:pbx.example;transport=udp").unwrap();
        let mut location = Location::of(&uri, all(), 1).unwrap();
        let service = location.poll_query().unwrap();
        location.handle_answer(&service, Answer::Srv(vec![srv(0, 0, 1, "a.")]), Duration::from_secs(ttls[0]));
        let host = location.poll_query().unwrap();
        // An answer to something else is nobody's.
        location.handle_answer(&service, Answer::Failed, Duration::ZERO);
        location.handle_answer(&host, last, Duration::from_secs(ttls[1]));
        location.located().unwrap().valid.as_secs()
    };
    let address = || Answer::Addresses(vec!["192.0.2.1".parse().unwrap()]);
    assert_eq!(valid([300, 600], address()), 300);
    assert_eq!(valid([600, 300], address()), 300);
    assert_eq!(valid([600, 1], address()), 30);
    assert_eq!(valid([86_400, 86_400], address()), 3_600);
    assert_eq!(valid([600, 600], Answer::Failed), 30);
}

#[test]
fn more_than_the_bounds_is_left_out() {
    let uri = Uri::parse("sip:pbx.example;transport=udp").unwrap();
    let mut location = Location::of(&uri, all(), 1).unwrap();
    let many = (0..100).map(|n| srv(n, 0, 5060, &format!("h{n}."))).collect();
    let query = location.poll_query().unwrap();
    location.handle_answer(&query, Answer::Srv(many), DAY);
    let mut hosts = Vec::new();
    while let Some(query) = location.poll_query() {
        let host = u8::try_from(hosts.len()).unwrap();
        let addresses = (0..100).map(|n| IpAddr::from([192, 0, host, n])).collect();
        location.handle_answer(&query, Answer::Addresses(addresses), DAY);
        hosts.push(query);
    }
    assert_eq!((hosts.len(), &hosts[0]), (MAX_PLACES, &Query::Addresses("h0".into())));
    let targets = location.located().unwrap().targets;
    assert_eq!(targets.len(), MAX_TARGETS);
    assert!(targets[..MAX_ADDRESSES].iter().all(|target| target.remote.to_string().starts_with("192.0.0.")));
}

/// RFC 5922 §4: DNS cannot change whose certificate is asked for.
#[test]
fn a_certificate_must_name_the_host_of_the_uri() {
    let mut location = Location::of(&Uri::parse("sips:Example.com").unwrap(), all(), 1).unwrap();
    while let Some(query) = location.poll_query() {
        location.handle_answer(&query, EXAMPLE.answer(&query), DAY);
    }
    assert_eq!(location.located().unwrap().targets[0].name, "example.com");
}
