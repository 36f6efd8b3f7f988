use super::*;
use crate::secretary::{Identity, ProviderKind, Secretary};
use uuid::Uuid;

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(text, "ramal.toml", &Environment::new()).map_err(|error| error.to_string())
}

fn environment(pairs: &[(&str, &str)]) -> Environment {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn the_printed_default_is_the_default() {
    assert_eq!(parse(DEFAULT_TOML), parse(""));
}

/// Every key the program knows is in the printed default, set or shown; and what is shown is accepted.
#[test]
fn the_printed_default_shows_every_key_and_all_of_them_work() {
    let shown: String = DEFAULT_TOML
        .lines()
        .filter_map(|line| {
            let bare = line.strip_prefix("# ").unwrap_or(line);
            let key = bare.split(" = ").next().unwrap_or_default();
            let setting =
                bare.contains(" = ") && key.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
            (setting || bare.starts_with('[')).then_some(format!("{bare}\n"))
        })
        .collect();
    let table: toml::Table = shown.parse().unwrap();
    for (section, keys) in raw::SECTIONS.iter().chain(&raw::LISTS) {
        let section = table.get(*section).unwrap_or_else(|| panic!("[{section}] is not shown"));
        let section = section.as_array().map_or(section, |list| &list[0]).as_table().unwrap();
        let mut there: Vec<&str> = section.keys().map(String::as_str).collect();
        let mut want = keys.to_vec();
        there.sort_unstable();
        want.sort_unstable();
        assert_eq!(there, want);
    }
    let secrets = [
        "EXTENSION_PASSWORD",
        "GEMINI_API_KEY",
        "AZURE_OPENAI_API_KEY",
        "STOCK_TOKEN",
        "OPENAI_API_KEY",
        "ELEVENLABS_API_KEY",
        "GROQ_API_KEY",
        "HEP_PASSWORD",
        "PBX_EXAMPLE_OPENAI_KEY",
        "PBX_PASSWORD",
        "S3_SECRET_KEY",
    ];
    let mut env = environment(&secrets.map(|name| (name, "1")));
    env.insert("RECORDING_KEY".to_owned(), "1f".repeat(32));
    env.insert("RAMAL_MASTER_KEY".to_owned(), "2f".repeat(32));
    let shown = shown.replace("/etc/ramal/lab-ca.pem", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));
    let config = Config::parse(&shown, "shown", &env).unwrap();
    assert_eq!(config.registrations[0].password.expose(), "1");
    assert_eq!(config.secretaries.len(), 1);
}

#[test]
fn the_demo_secretaries_are_what_a_server_without_a_file_has() {
    let config = Config::load(None, &Environment::new()).unwrap();
    let extensions: Vec<_> = config.secretaries.iter().filter_map(|s| s.row.extension.as_deref()).collect();
    assert_eq!(extensions, ["8000", "8001"]);
    for entry in config.secretaries {
        let identity = Identity {
            secretary_realtime_uuid: Uuid::nil(),
            domain_uuid: Uuid::nil(),
            domain_name: entry.domain.to_string(),
        };
        let secretary = Secretary::parse(identity, entry.row).unwrap();
        assert_eq!(secretary.provider, ProviderKind::Local);
        assert!(secretary.provider_config.answers.len() >= 6);
        assert_eq!(secretary.transfer_rules.len(), 3);
        assert!(secretary.warnings.is_empty());
    }
    let fusionpbx = environment(&[("RAMAL_DATABASE_URL", "postgres://localhost/fusionpbx")]);
    assert!(Config::load(None, &fusionpbx).unwrap().secretaries.is_empty(), "no demo in somebody's PBX");
}

#[test]
fn a_peer_may_have_its_own_codecs_and_order() {
    let text = "[rtp]\ncodecs = [\"pcma\", \"L16/16000\"]\n\
        [[peers]]\nname = \"a\"\naddresses = [\"192.0.2.1\"]\n\
        [[peers]]\nname = \"b\"\naddresses = [\"192.0.2.2\"]\ncodecs = [\"opus\", \"G722\"]\ncodec_order = \"ours\"\n";
    let config = Config::parse(text, "ramal.toml", &environment(&[])).unwrap();
    let codecs = |address: &str| config.codecs(None, config.peer(None, address.parse().unwrap()), None);
    assert_eq!(codecs("192.0.2.1"), (vec![Codec::Pcma, Codec::L16Wide], Preference::Theirs));
    assert_eq!(codecs("192.0.2.2"), (vec![Codec::Opus, Codec::G722], Preference::Ours));
    assert_eq!(config.rtp.comfort_noise, ComfortNoise::Heard);
    for (word, noise) in [("off", ComfortNoise::Off), ("heard", ComfortNoise::Heard), ("sent", ComfortNoise::Sent)] {
        let text = format!("[rtp]\ncomfort_noise = \"{word}\"\n");
        assert_eq!(parse(&text).unwrap().rtp.comfort_noise, noise);
    }
    for wrong in ["codecs = [\"G729\"]", "codecs = []", "comfort_noise = \"loud\"", "codec_order = \"best\""] {
        assert!(Config::parse(&format!("[rtp]\n{wrong}\n"), "ramal.toml", &environment(&[])).is_err(), "{wrong}");
    }
}

#[test]
fn the_detector_has_three_names() {
    let engine = |text: &str| Config::parse(text, "ramal.toml", &environment(&[])).map(|config| config.media.vad);
    for (name, expected) in
        [("silero", vad::Engine::Silero), ("energy", vad::Engine::Energy), ("off", vad::Engine::Off)]
    {
        assert_eq!(engine(&format!("[media]\nvad = \"{name}\"\n")), Ok(expected));
    }
    assert_eq!(engine(""), Ok(vad::Engine::Silero));
    assert!(engine("[media]\nvad = \"on\"\n").unwrap_err().to_string().contains("media.vad = \"on\": must be"));
}

#[test]
fn echo_is_muted_or_passes() {
    let echo = |text: &str| Config::parse(text, "ramal.toml", &environment(&[])).map(|config| config.media.echo);
    assert_eq!(echo(""), Ok(media::echo::Policy::Mute));
    assert_eq!(echo("[media]\necho = \"mute\"\n"), Ok(media::echo::Policy::Mute));
    assert_eq!(echo("[media]\necho = \"pass\"\n"), Ok(media::echo::Policy::Pass));
    assert!(echo("[media]\necho = \"off\"\n").unwrap_err().to_string().contains("media.echo = \"off\": must be"));
}

#[test]
fn the_environment_wins() {
    let env = environment(&[
        ("RAMAL_SIP_UDP", "[::1]:6000"),
        ("RAMAL_RTP_CODECS", "PCMA, opus"),
        ("RAMAL_SIP_MAX_CALLS", "7"),
        ("RAMAL_LOG_JSON", "true"),
        ("RAMAL_OPENAI_API_KEY", "12345"),
        ("RAMAL_CONFIG", "not a key, not ours"),
        ("PATH", "/bin"),
    ]);
    let config = Config::parse("[sip]\nudp = \"127.0.0.1:1\"\n", "ramal.toml", &env).unwrap();
    assert_eq!(config.sip.listeners[0], Listener::plain(Transport::Udp, "[::1]:6000".parse().unwrap()));
    assert_eq!(config.rtp.codecs, [Codec::Pcma, Codec::Opus]);
    assert_eq!(config.sip.max_calls, 7);
    assert!(config.log.json);
    assert_eq!(config.openai.api_key.unwrap().expose(), "12345");
    let env = environment(&[("RAMAL_SIP_UPD", "127.0.0.1:1"), ("RAMAL_SIP_MAX_CALLS", "many")]);
    let error = Config::parse("", "ramal.toml", &env).unwrap_err().to_string();
    assert_eq!(
        error,
        "environment: RAMAL_SIP_UPD: no such key in [sip]; allowed are udp, tcp, tls, advertised, user_agent, dns, \
         max_calls, strangers, stranger_rate, scanners, realm, nonce_life_s, peer_call_rate, call_rate\n\
         environment: RAMAL_SIP_MAX_CALLS = \"many\": must be a whole number from 1 to 100000",
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of mistakes")]
fn every_mistake_is_named_with_file_key_value_and_what_is_allowed() {
    let text = r#"
        colour = "red"
        [sip]
        udp = ["localhost"]
        max_calls = 0
        upd = "x"
        [[peers]]
        name = "pbx"
        addresses = "10.0.0.0/33"
        [[registrations]]
        registrar = "pbx:0"
        transport = "sctp"
        password = 1234
        [rtp]
        address = "here"
        ports = "20001-20999"
        codecs = ["G729"]
        [database]
        url = "mysql://root:hunter2@db"
        [openai]
        url = "https://api.openai.com"
        api_key = "env:NO_SUCH"
        model = ""
        ca_file = "/nowhere/ca.pem"
        [gemini]
        ca_file = "/nowhere/gemini.pem"
        [elevenlabs]
        url = "wss://api.elevenlabs.io/v1/convai/conversation?agent_id=a"
        ca_file = "/nowhere/elevenlabs.pem"
        [local]
        language = "português"
        [call]
        fallback_extension = "1000@x"
        drain_s = "soon"
        [media]
        reorder_window_ms = -1
        [log]
        level = "info,=,="
        json = "yes"
        [[secretaries]]
        domain = "a"
        name = "Ana"
        extension = "80 00"
        provider = "local"
        [[secretaries]]
        domain = "a"
        name = "Bia"
        extension = "8000"
        provider = "alexa"
        transfer_rules = [{ name = "x" }]
        [[secretaries]]
        domain = "a"
        name = "Cid"
        extension = "8002"
        provider = "local"
        language = "es-ES"
    "#;
    let error = parse(text).unwrap_err();
    let wanted = [
        "ramal.toml: colour: unknown section; allowed are sip, tls, rtp,",
        "ramal.toml: sip.udp = \"localhost\": must be an address and a port",
        "ramal.toml: sip.max_calls = 0: must be a whole number from 1 to 100000",
        "ramal.toml: sip.upd: unknown key; allowed are udp, tcp",
        "ramal.toml: peers[0].addresses = \"10.0.0.0/33\": must be IP addresses or blocks",
        "ramal.toml: registrations[0].registrar = \"pbx:0\": must be a host",
        "ramal.toml: registrations[0].transport = \"sctp\": must be \"udp\", \"tcp\" or \"tls\"",
        "ramal.toml: registrations[0].user: is missing",
        "ramal.toml: registrations[0].password: must be a text in quotes",
        "ramal.toml: rtp.address = \"here\": must be an IP address",
        "ramal.toml: rtp.ports = \"20001-20999\": must be two ports",
        "ramal.toml: rtp.codecs = \"G729\": must be of \"PCMU\"",
        "ramal.toml: database.url: must start with \"sqlite:\"",
        "ramal.toml: openai.url = \"https://api.openai.com\": must start with \"wss://\"",
        "ramal.toml: openai.api_key: the environment has no variable NO_SUCH",
        "ramal.toml: openai.model = \"\": is empty",
        "ramal.toml: openai.ca_file = \"/nowhere/ca.pem\": cannot be read",
        "ramal.toml: gemini.ca_file = \"/nowhere/gemini.pem\": cannot be read",
        "ramal.toml: elevenlabs.ca_file = \"/nowhere/elevenlabs.pem\": cannot be read",
        "ramal.toml: elevenlabs.url = \"wss://api.elevenlabs.io/v1/convai/conversation?agent_id=a\": must start with",
        "ramal.toml: local.language = \"português\": language",
        "ramal.toml: call.fallback_extension = \"1000@x\": \"1000@x\" is not an extension",
        "ramal.toml: call.drain_s = \"soon\": must be a whole number from 1 to 600",
        "ramal.toml: media.reorder_window_ms = -1: must be a whole number from 0 to 500",
        "ramal.toml: log.level = \"info,=,=\": must be off, error, warn",
        "ramal.toml: log.json = \"yes\": must be true or false",
        "ramal.toml: secretaries[0].extension: \"80 00\" is not an extension",
        "ramal.toml: secretaries[1].provider = \"alexa\": must be \"openai\", \"azure\", \"openai-live\", \"gemini\", \"elevenlabs\", \"pipeline\", \"turn_based\" or \"local\"",
        "ramal.toml: secretaries[1].transfer_rules: missing field `destination`",
        "ramal.toml: secretaries[2].language = \"es-ES\": provider \"local\" speaks",
    ];
    for want in wanted {
        assert!(error.contains(want), "lacks {want:?} in\n{error}");
    }
    assert_eq!(error.lines().count(), wanted.len(), "{error}");
    for secret in ["hunter2", "1234"] {
        assert!(!error.contains(secret), "{error}");
    }
}

#[test]
fn a_syntax_error_is_placed_without_showing_the_line() {
    let error = parse("[openai]\napi_key = \"sk-hunter2\nmodel = \"x\"").unwrap_err();
    assert!(error.starts_with("ramal.toml: line 2, column"), "{error}");
    assert!(!error.contains("hunter2"), "{error}");
}

#[test]
fn the_wrong_kind_of_section_is_refused() {
    for (text, want) in [
        ("sip = 1", "sip: must be a table"),
        ("[peers]\nname = \"x\"", "peers: must be a list of tables"),
        ("[sip]\nudp = []\ntcp = []", "sip.udp: and sip.tcp, sip.tls, [[listeners]] are empty"),
        ("[sip]\nudp = \"0.0.0.0:5060\"", "sip.advertised: is missing: [sip] listens on every address"),
        ("[rtp]\naddress = \"::\"", "sip.advertised: is missing: [rtp] listens on every address"),
        ("[[peers]]\nname = \"x\"", "peers[0].addresses: is missing"),
    ] {
        assert!(parse(text).unwrap_err().contains(want), "{text}: {:?}", parse(text));
    }
}

#[test]
fn two_secretaries_cannot_share_an_extension() {
    let one = |name: &str| {
        format!("[[secretaries]]\ndomain = \"A\"\nname = {name:?}\nextension = \"1\"\nprovider = \"local\"\n")
    };
    let error = parse(&(one("Ana") + &one("Bia"))).unwrap_err();
    assert!(error.contains(r#""Ana" and "Bia" both have extension "1" of A"#), "{error}");
}

#[test]
fn peers_are_found_by_address() {
    let config = parse("").unwrap();
    assert_eq!(config.peer(None, "127.0.0.1".parse().unwrap()).unwrap().name, "loopback");
    assert_eq!(config.peer(None, "::1".parse().unwrap()).unwrap().name, "loopback");
    assert_eq!(config.peer(None, "192.0.2.1".parse().unwrap()), None);
}

#[test]
fn the_spill_file_is_beside_the_database_file() {
    for (url, want) in [
        ("sqlite:ramal.db", "ramal.spill.jsonl"),
        ("sqlite:///var/lib/ramal/data.db?mode=rwc", "/var/lib/ramal/data.spill.jsonl"),
        ("sqlite::memory:", "ramal.spill.jsonl"),
        ("postgres://localhost/fusionpbx", "ramal.spill.jsonl"),
    ] {
        let config = parse(&format!("[database]\nurl = {url:?}")).unwrap();
        assert_eq!(config.database.spill, Path::new(want), "{url}");
    }
    assert_eq!(parse("[database]\nspill = \"/x\"").unwrap().database.spill, Path::new("/x"));
}

#[test]
fn a_registrar_is_a_host_or_a_uri() {
    let read = |keys: &str| {
        let text = format!("[[registrations]]\nuser = \"2000\"\npassword = \"x\"\n{keys}\n");
        parse(&text).map(|mut config| config.registrations.remove(0))
    };
    for (keys, first_hop, domain) in [
        (r#"registrar = "pbx.example""#, "sip:pbx.example", "pbx.example"),
        (r#"registrar = "pbx.example:5080""#, "sip:pbx.example:5080", "pbx.example"),
        (r#"registrar = "sips:pbx.example""#, "sips:pbx.example", "pbx.example"),
        (r#"registrar = "sip:pbx.example;transport=tcp""#, "sip:pbx.example;transport=tcp", "pbx.example"),
        ("registrar = \"pbx.example\"\ntransport = \"tcp\"", "sip:pbx.example;transport=tcp", "pbx.example"),
        (r#"registrar = "192.0.2.1:1""#, "sip:192.0.2.1:1", "192.0.2.1"),
        (r#"registrar = "[::1]:5060""#, "sip:[::1]:5060", "[::1]"),
        ("registrar = \"pbx.example\"\noutbound_proxy = \"sip:edge.example;lr\"", "sip:edge.example;lr", "pbx.example"),
        (
            "registrar = \"pbx.example\"\noutbound_proxy = \"edge.example\"\ntransport = \"udp\"",
            "sip:edge.example;transport=udp",
            "pbx.example",
        ),
    ] {
        let registration = read(keys).unwrap();
        assert_eq!((registration.first_hop().as_str(), registration.domain.as_str()), (first_hop, domain), "{keys}");
    }
    for bad in [
        ":5060",
        "pbx:",
        "pbx:65536",
        "pbx:0",
        "sip:",
        "sip:2000@pbx",
        "sip:pbx?x=y",
        "tel:+1",
        "[::1",
        "a b",
        "[pbx]:1",
    ] {
        let error = read(&format!("registrar = {bad:?}")).unwrap_err();
        assert!(error.contains("registrations[0].registrar") && error.contains("must be a host"), "{bad}: {error}");
    }
    let twice = read("registrar = \"sip:pbx.example;transport=tcp\"\ntransport = \"tcp\"").unwrap_err();
    assert!(twice.contains("registrations[0].transport = \"tcp\": is given by the URI"), "{twice}");
}

#[test]
fn an_empty_variable_empties_a_list() {
    let config = Config::parse("", "ramal.toml", &environment(&[("RAMAL_SIP_TCP", " ")])).unwrap();
    let transports: Vec<_> = config.sip.listeners.iter().map(|listener| listener.transport).collect();
    assert_eq!(transports, [Transport::Udp]);
    let error = Config::parse("", "ramal.toml", &environment(&[("RAMAL_RTP_CODECS", "")])).unwrap_err().to_string();
    assert!(error.contains("RAMAL_RTP_CODECS: is empty"), "{error}");
}

#[test]
fn a_bare_word_is_a_level() {
    for level in ["off", "WARN", "info,ramal::call=debug", "warn,ramal[call]=trace"] {
        assert!(parse(&format!("[log]\nlevel = {level:?}")).is_ok(), "{level}");
    }
    for level in ["loud", "info,loud", "ramal=loud"] {
        assert!(parse(&format!("[log]\nlevel = {level:?}")).is_err(), "{level}");
    }
}

#[test]
fn listeners_are_seen_where_they_say() {
    let text = "[sip]\nudp = [\"0.0.0.0:5060\", \"[::]:5060\"]\ntcp = []\nadvertised = [\"203.0.113.5\", \"2001:db8::5\"]\n\
        [[listeners]]\ntransport = \"tcp\"\naddress = \"10.0.0.5:0\"\nadvertised = \"198.51.100.5:5080\"\n";
    let config = parse(text).unwrap();
    let seen = |index: usize, bound: &str| config.sip.listeners[index].seen_as(bound.parse().unwrap()).to_string();
    assert_eq!(seen(0, "0.0.0.0:5060"), "203.0.113.5:5060");
    assert_eq!(seen(1, "[::]:5060"), "[2001:db8::5]:5060");
    assert_eq!(seen(2, "10.0.0.5:40000"), "198.51.100.5:5080");
    assert_eq!(config.sip.seen_as("::".parse().unwrap()), "2001:db8::5".parse::<std::net::IpAddr>().unwrap());
}

#[test]
fn callers_send_audio_to_the_address_that_their_listener_tells_them() {
    let sip = |advertised: &str, of_outer: &str| {
        let outer = format!("transport = \"udp\"\naddress = \"10.0.0.5:5080\"\nadvertised = \"{of_outer}\"");
        let sip = format!("udp = [\"10.0.0.5:5060\"]\ntcp = []\nadvertised = {advertised}");
        parse(&format!("[sip]\n{sip}\n[[listeners]]\n{outer}\n")).unwrap().sip
    };
    let told = |sip: &Sip, came_to: usize, own: &str| sip.audio_seen_as(own.parse().unwrap())[came_to].to_string();
    let two_sides = sip("[]", "198.51.100.5:5080");
    assert_eq!(told(&two_sides, 0, "10.0.0.5"), "10.0.0.5");
    assert_eq!(told(&two_sides, 1, "10.0.0.5"), "198.51.100.5");
    assert_eq!(told(&two_sides, 1, "2001:db8::9"), "2001:db8::9", "the other family has nothing to do with it");
    // Behind the listeners come the ways out, over TCP and TLS, seen as the first listener of their family is.
    assert_eq!(told(&two_sides, 2, "10.0.0.5"), "10.0.0.5");
    let both = sip("[\"203.0.113.5\", \"2001:db8::5\"]", "198.51.100.5");
    assert_eq!(told(&both, 0, "10.0.0.5"), "203.0.113.5");
    assert_eq!(told(&both, 1, "10.0.0.5"), "198.51.100.5");
    assert_eq!(told(&both, 1, "2001:db8::9"), "2001:db8::5");
    assert_eq!(told(&both, 2, "10.0.0.5"), "203.0.113.5");
    // One that tells but its own address says nothing of audio that is received at another.
    let inner = sip("[\"203.0.113.5\"]", "10.0.0.5");
    assert_eq!(told(&inner, 1, "10.0.0.5"), "10.0.0.5");
    assert_eq!(told(&inner, 1, "0.0.0.0"), "10.0.0.5");
    assert_eq!(told(&inner, 1, "10.0.0.9"), "203.0.113.5");
}

#[test]
fn audio_at_every_address_needs_no_other_where_each_listener_has_one() {
    let (all, here) = ("udp = \"0.0.0.0:5060\"", "udp = \"10.0.0.5:5060\"");
    let rtp = |sip: &str, address: &str| parse(&format!("[sip]\ntcp = []\n{sip}\n[rtp]\naddress = {address}\n"));
    let told = |sip: &str, own: &str| {
        let sip = rtp(sip, &format!("\"{own}\"")).unwrap().sip;
        let told = sip.audio_seen_as(own.parse().unwrap()).into_iter();
        told.take(sip.listeners.len()).map(|seen| seen.to_string()).collect::<Vec<_>>()
    };
    let outer = |advertised: &str| {
        format!("{here}\n[[listeners]]\ntransport = \"udp\"\naddress = \"0.0.0.0:5080\"\n{advertised}")
    };
    let seen = outer("advertised = \"198.51.100.5\"");
    assert_eq!(told(here, "0.0.0.0"), ["10.0.0.5"]);
    assert_eq!(told(&seen, "0.0.0.0"), ["10.0.0.5", "198.51.100.5"]);
    assert_eq!(told(&format!("{all}\nadvertised = \"203.0.113.5\""), "0.0.0.0"), ["203.0.113.5"]);
    let both = "[\"0.0.0.0\", \"::\"]";
    for (sip, address) in [(&*outer(""), "\"0.0.0.0\""), (all, "\"0.0.0.0\""), (here, "\"::\""), (&*seen, both)] {
        let refused = rtp(sip, address).unwrap_err();
        assert!(refused.contains("sip.advertised: is missing"), "{sip} {address}: {refused}");
    }
    let v6 = "\nadvertised = \"2001:db8::5\"";
    assert!(rtp(&format!("{here}{v6}"), both).is_ok(), "it is told to whoever has IPv6");
}

#[test]
fn audio_of_this_machine_alone_is_warned_of_where_sip_is_open_to_others() {
    let warned = |sip: &str, rtp: &str| {
        parse(&format!("[sip]\ntcp = []\nudp = {sip}\n[rtp]\naddress = {rtp}\n")).unwrap().warnings()
    };
    let (here, both) = ("\"127.0.0.1\"", "[\"192.0.2.5\", \"::1\"]");
    for (sip, rtp) in [
        ("\"127.0.0.1:5070\"", here),
        ("\"192.0.2.5:5060\"", "\"192.0.2.5\""),
        ("[\"192.0.2.5:5060\", \"[::1]:5060\"]", both),
    ] {
        assert_eq!(warned(sip, rtp), Vec::<String>::new(), "{sip} {rtp}");
    }
    for (sip, rtp, address, listener, better) in [
        ("[\"127.0.0.1:5070\", \"192.0.2.5:5060\"]", here, "127.0.0.1", "udp 192.0.2.5:5060", "192.0.2.5"),
        ("\"0.0.0.0:5060\"\nadvertised = \"203.0.113.5\"", here, "127.0.0.1", "udp 0.0.0.0:5060", "0.0.0.0"),
        ("\"[2001:db8::5]:5060\"", here, "127.0.0.1", "udp [2001:db8::5]:5060", "2001:db8::5"),
        ("[\"192.0.2.5:5060\", \"[2001:db8::5]:5060\"]", both, "::1", "udp [2001:db8::5]:5060", "2001:db8::5"),
    ] {
        let warnings = warned(sip, rtp);
        let [warning] = &warnings[..] else { panic!("{sip} {rtp}: {warnings:?}") };
        assert!(warning.starts_with(&format!("[rtp] address = \"{address}\" is this machine alone")), "{warning}");
        assert!(warning.contains(listener) && warning.ends_with(&format!("set it to \"{better}\"")), "{warning}");
    }
    assert!(parse("").unwrap().warnings().is_empty());
}

#[test]
fn tls_needs_what_it_proves_itself_with() {
    let listener = "[sip]\ntls = \"127.0.0.1:5061\"\n";
    let identity = "[tls]\ncertificate = \"/c\"\nkey = \"/k\"\n";
    for (text, want) in [
        (listener.to_owned(), "tls.certificate: is missing: a listener for TLS needs a certificate"),
        ("[tls]\ncertificate = \"/c\"\n".into(), "tls.key: is missing"),
        ("[tls]\nkey = \"/k\"\n".into(), "tls.certificate: is missing"),
        (format!("{identity}verify_clients = \"required\"\n"), "tls.client_ca_file: is missing"),
        (format!("{identity}verify_clients = \"maybe\"\n"), "tls.verify_clients: must be"),
        ("[[listeners]]\ntransport = \"tcp\"\n".into(), "listeners[0].address: is missing"),
        (
            "[[listeners]]\ntransport = \"tcp\"\naddress = \"[::1]:1\"\nadvertised = \"192.0.2.1\"\n".into(),
            "listeners[0].advertised: must be of the same family",
        ),
        ("[sip]\nadvertised = [\"192.0.2.1\", \"192.0.2.2\"]\n".into(), "at most one IPv4 and one IPv6"),
    ] {
        assert!(parse(&text).unwrap_err().contains(want), "{text}: {:?}", parse(&text));
    }
    let config = parse(&format!("{listener}{identity}verify_clients = \"optional\"\nclient_ca_file = \"/ca\"\n"));
    let clients = Clients::Known { ca_file: "/ca".into(), required: false };
    assert_eq!(config.unwrap().tls.clients, clients);
}

#[test]
fn callers_are_turned_into_a_policy() {
    let text = r#"
        [sip]
        strangers = "forbid"
        stranger_rate = 3
        scanners = ["EvilProbe"]
        realm = "pbx.example"
        call_rate = 40
        [[peers]]
        name = "trunk"
        addresses = ["192.0.2.0/24"]
        [[peers]]
        name = "branch"
        user = "branch"
        password = "hunter2"
        [[peers]]
        name = "office"
        addresses = ["198.51.100.7"]
        user = "office"
        password = "hunter3"
    "#;
    let config = Config::parse(text, "ramal.toml", &Environment::new()).unwrap();
    assert!(!format!("{config:?}").contains("hunter"));
    let policy = config.policy();
    assert_eq!(policy.peers, ["192.0.2.0/24".parse().unwrap()], "the office has to prove who it is");
    let users: Vec<_> = policy.users.iter().map(|user| (user.credentials.user.as_str(), user.networks.len())).collect();
    assert_eq!(users, [("branch", 0), ("office", 1)]);
    assert_eq!((policy.strangers, policy.realm.as_str()), (sip::Strangers::Forbid, "pbx.example"));
    assert_eq!((policy.stranger_rate.per_second, policy.stranger_rate.burst), (3, 30));
    assert_eq!((policy.peer_rate, policy.call_rate), (None, Some(sip::Rate { per_second: 40, burst: 40 })));
    let name = |user, address: &str| config.peer(user, address.parse().unwrap()).map(|peer| peer.name.as_str());
    assert_eq!(name(None, "192.0.2.7"), Some("trunk"));
    assert_eq!(name(Some("branch"), "192.0.2.7"), Some("branch"));
    assert_eq!(name(None, "198.51.100.7"), None);
}

#[test]
fn a_peer_that_cannot_be_told_is_refused() {
    for (peers, message) in [
        ("[[peers]]\nname = \"a\"\n", "peers[0].addresses: is missing, and so are user and password"),
        ("[[peers]]\nname = \"a\"\nuser = \"a\"\n", "peers[0].password: is missing"),
        ("[[peers]]\nname = \"a\"\npassword = \"x\"\naddresses = [\"::1\"]\n", "peers[0].user: is missing"),
        (
            "[[peers]]\nname = \"a\"\nuser = \"a\"\npassword = \"x\"\n[[peers]]\nname = \"b\"\nuser = \"a\"\npassword = \"y\"\n",
            "user: is the user of another peer as well",
        ),
        ("[sip]\nstrangers = \"tease\"\n", "must be \"drop\" or \"forbid\""),
        ("[sip]\nscanners = [\"a\"]\n", "four characters"),
    ] {
        let error = Config::parse(peers, "ramal.toml", &Environment::new()).unwrap_err().to_string();
        assert!(error.contains(message), "{peers}: {error}");
    }
}

#[test]
fn what_is_traced_and_where_it_is_asked_for_can_be_set() {
    let text = "[trace]\ncalls = 0\nmemory_mib = 1\nhep = \"192.0.2.20:9060\"\nhep_password = \"p\"\n\
                [control]\nsocket = \"/run/x.sock\"\n";
    let config = Config::parse(text, "ramal.toml", &Environment::new()).unwrap();
    let hep = config.trace.hep.unwrap();
    assert_eq!((config.trace.calls, config.trace.memory_mib, hep.id), (0, 1, 2001));
    assert_eq!((hep.collector, hep.password), ("192.0.2.20:9060".parse().unwrap(), Some(Secret::new("p"))));
    assert_eq!(config.control.socket, Some("/run/x.sock".into()));
    let default = Config::parse("", "ramal.toml", &Environment::new()).unwrap();
    assert_eq!((default.trace.calls, default.trace.memory_mib, default.trace.hep), (1_000, 64, None));
    let error = Config::parse("[trace]\nhep = \"homer\"\n", "ramal.toml", &Environment::new()).unwrap_err();
    assert!(error.to_string().starts_with("ramal.toml: trace.hep = \"homer\": must be an address"), "{error}");
}

#[test]
fn a_listener_may_have_a_policy_of_its_own() {
    let text = r#"
        [sip]
        strangers = "forbid"
        [[listeners]]
        transport = "udp"
        address = "127.0.0.1:1"
        [[listeners]]
        transport = "udp"
        address = "127.0.0.1:2"
        peers = ["trunk"]
        strangers = "drop"
        [[peers]]
        name = "trunk"
        addresses = ["192.0.2.1"]
        [[peers]]
        name = "office"
        addresses = ["192.0.2.2"]
    "#;
    let policy = parse(text).unwrap().policy();
    assert_eq!((policy.peers.len(), policy.strangers), (2, sip::Strangers::Forbid));
    let [(id, own)] = &policy.listeners.iter().collect::<Vec<_>>()[..] else { panic!("one of its own") };
    assert_eq!((id.0, &own.peers[..], own.strangers), (1, &policy.peers[..1], sip::Strangers::Drop));
    let error = parse(&text.replace("[\"trunk\"]", "[\"trank\"]")).unwrap_err();
    assert!(error.contains("listeners.peers: names \"trank\", and no [[peers]] has that name"), "{error}");
}

/// A socket is known by its place in the list of the start; the file may have moved, changed or lost it since.
#[test]
fn what_a_file_says_of_a_listener_goes_with_its_address() {
    let listener =
        |port: u16, rest: &str| format!("[[listeners]]\ntransport = \"udp\"\naddress = \"192.0.2.9:{port}\"\n{rest}\n");
    let read = |listeners: &[String]| parse(&format!("[sip]\nudp = []\ntcp = []\n{}", listeners.concat())).unwrap().sip;
    let first = [listener(5060, "srtp = \"off\""), listener(5070, "codecs = [\"G722\"]"), listener(5080, "")];
    let running = read(&first);
    assert_eq!(read(&first).at_sockets_of(&running), running);
    let moved = Sip { advertised: vec!["203.0.113.5".parse().unwrap()], ..running.clone() };
    assert_eq!(moved.at_sockets_of(&running), running, "SDP and Contact change together, at a restart");
    let moved = listener(5070, "codecs = [\"PCMA\"]\nadvertised = \"198.51.100.1\"");
    let later = read(&[listener(5090, "srtp = \"required\""), listener(5080, "codec_order = \"ours\""), moved]);
    let found = later.at_sockets_of(&running);
    let ports: Vec<u16> = found.listeners.iter().map(|listener| listener.address.port()).collect();
    assert_eq!(ports, [5060, 5070, 5080], "sockets stay until a restart");
    let [gone, changed, told] = &found.listeners[..] else { panic!("three") };
    assert_eq!((gone.srtp, &changed.codecs), (Some(Srtp::Off), &Some(vec![Codec::Pcma])));
    assert_eq!((changed.advertised, told.codec_order), (None, Some(Preference::Ours)));
}

#[test]
fn encryption_is_off_or_required_and_nothing_in_between() {
    let account = "[[registrations]]\nregistrar = \"a.example\"\nuser = \"1\"\npassword = \"x\"\n";
    let peer = "[[peers]]\nname = \"a\"\naddresses = [\"192.0.2.1\"]\n";
    let written = |value: &str| format!("[rtp]\n{value}\n{peer}{value}\n{account}{value}\n");
    let of = |value: &str| {
        let config = parse(&written(value)).unwrap();
        (config.rtp.srtp, config.peers[0].srtp, config.registrations[0].srtp)
    };
    assert_eq!(of(""), (Srtp::Off, None, None));
    assert_eq!(of("srtp = \"required\""), (Srtp::Required, Some(Srtp::Required), Some(Srtp::Required)));
    let refused = parse(&written("srtp = \"optional\"")).unwrap_err();
    assert_eq!(refused.matches("must be \"off\" or \"required\"").count(), 3, "{refused}");
}

#[test]
fn where_nobody_listens_we_call_from_the_first_address_of_each_family() {
    let ways = |sip: &str| {
        let config = parse(&format!("[sip]\n{sip}")).unwrap();
        let ways =
            config.sip.ways_out().into_iter().map(|way| (way.transport.param(), way.seen_as(way.address).to_string()));
        ways.collect::<Vec<_>>()
    };
    let want =
        |each: &[(&'static str, &str)]| each.iter().map(|(over, at)| (*over, (*at).to_owned())).collect::<Vec<_>>();
    let udp = "udp = [\"10.0.0.5:5060\", \"10.0.0.6:5060\"]\ntcp = []";
    assert_eq!(ways(udp), want(&[("tcp", "10.0.0.5:0"), ("tls", "10.0.0.5:0")]));
    assert_eq!(ways("udp = [\"10.0.0.5:5060\"]\ntcp = [\"10.0.0.6:5060\"]"), want(&[("tls", "10.0.0.5:0")]));
    let seen = "udp = [\"0.0.0.0:5060\"]\ntcp = [\"[::1]:5060\"]\nadvertised = [\"203.0.113.5\"]";
    assert_eq!(ways(seen), want(&[("tcp", "203.0.113.5:0"), ("tls", "203.0.113.5:0"), ("tls", "[::1]:0")]));
}

#[test]
fn pings_are_off_unless_asked_for() {
    let ping = |keys: &str| {
        let text = format!("[[registrations]]\nregistrar = \"pbx.example\"\nuser = \"2000\"\npassword = \"x\"\n{keys}");
        parse(&text).map(|mut config| config.registrations.remove(0).ping)
    };
    assert_eq!((ping(""), ping("ping_s = 0")), (Ok(None), Ok(None)));
    assert_eq!(ping("ping_s = 30"), Ok(Some(std::time::Duration::from_secs(30))));
    assert!(ping("ping_s = 5").unwrap_err().contains("registrations[0].ping_s"));
}

#[test]
fn how_openai_holds_a_conversation_is_read_and_refused_by_name() {
    let text = r#"
        [openai]
        noise_reduction = "off"
        idle_timeout_ms = 10000
        reasoning_effort = "xhigh"
        max_output_tokens = 900
        truncation = 0.8
        tool_choice = "transfer"
        mcp_servers = [{ label = "stock", url = "https://tools.example/mcp", authorization = "hunter2" }]
        [azure]
        endpoint = "wss://res.openai.azure.com"
        deployment = "voice"
        [live]
        model = "gpt-live-1.1"
    "#;
    let config = Config::parse(text, "ramal.toml", &environment(&[])).unwrap();
    let tuning = &config.openai.tuning;
    use providers::openai::{Effort, NoiseReduction, ToolChoice, Truncation};
    assert_eq!((tuning.noise_reduction, tuning.idle), (NoiseReduction::Off, Some(Duration::from_secs(10))));
    assert_eq!((tuning.reasoning, tuning.max_output_tokens), (Some(Effort::ExtraHigh), Some(900)));
    assert_eq!(tuning.truncation, Some(Truncation::Retain(0.8)));
    assert_eq!(tuning.tool_choice, ToolChoice::Function("transfer".into()));
    assert_eq!(tuning.mcp_servers[0].authorization.as_ref().unwrap().expose(), "hunter2");
    assert!(!format!("{config:?}").contains("hunter2"));
    assert_eq!((config.azure.deployment.as_str(), config.openai.live.model.as_str()), ("voice", "gpt-live-1.1"));

    let wrong = r#"
        [openai]
        noise_reduction = "loud"
        idle_timeout_ms = 10
        truncation = 2.0
        mcp_servers = [{ label = "a b", url = "http://tools.example" }]
        [azure]
        endpoint = "https://res.openai.azure.com"
    "#;
    let error = Config::parse(wrong, "ramal.toml", &environment(&[])).unwrap_err().to_string();
    for key in ["openai.noise_reduction", "openai.idle_timeout_ms", "openai.truncation", "azure.endpoint"] {
        assert!(error.contains(key), "{key} is not named in {error}");
    }
    assert_eq!(error.matches("openai.mcp_servers").count(), 2, "{error}");
}

#[test]
fn an_entry_says_of_a_tenant_what_a_row_would_and_its_key_is_not_shown() {
    let text = "[secrets]\nmaster_keys = \"env:MASTER\"\n[redis]\nurl = \"redis://:hush@localhost\"\n\
                [[tenants]]\ndomain = \"A.example\"\nprovider = \"openai\"\napi_key = \"sk-hush\"\n\
                monthly_budget_usd = 0.3\ntime_zone = \"America/Sao_Paulo\"\nrefusal = 503\n";
    let config = Config::parse(text, "t", &environment(&[("MASTER", &"1f".repeat(32))])).unwrap();
    let identity = |name: &str| Identity {
        secretary_realtime_uuid: Uuid::nil(),
        domain_uuid: Uuid::nil(),
        domain_name: name.to_owned(),
    };
    let of = |name: &str| {
        let row = crate::secretary::SecretaryRow { secretary_name: "Ana".into(), ..Default::default() };
        config.tenant(&Secretary::parse(identity(name), row).unwrap()).cloned()
    };
    let tenant = of("a.EXAMPLE").unwrap();
    assert_eq!(tenant.budget.unwrap().monthly, crate::record::MicroUsd(300_000));
    assert_eq!(tenant.refusal.status.unwrap().code(), 503);
    assert_eq!(of("b.example"), None);
    assert!(!format!("{config:?}").contains("hush"));
}

#[test]
fn what_an_entry_of_a_tenant_may_not_say_is_named() {
    let entry = |keys: &str| parse(&format!("[[tenants]]\ndomain = \"a.example\"\n{keys}\n")).unwrap_err();
    for (keys, named) in [
        ("api_key = \"sk\"", "tenants[0].provider"),
        ("provider = \"acme\"", "tenants[0].provider"),
        ("refusal = 404", "tenants[0].refusal"),
        ("time_zone = \"Mars\"", "tenants[0].time_zone"),
        ("monthly_budget_usd = -1", "tenants[0].monthly_budget_usd"),
        ("max_concurrent_calls = 100001", "tenants[0].max_concurrent_calls"),
        ("[[tenants]]\ndomain = \"A.example\"", "tenants.domain"),
        ("[redis]\nurl = \"http://x\"", "redis.url"),
        ("[secrets]\nmaster_keys = [\"abc\"]", "secrets.master_keys"),
        ("[limits]\nprovider_calls = { openai = -1 }", "limits.provider_calls"),
        ("[limits]\nreservation_usd = 0", "limits.reservation_usd"),
        ("[limits]\nwebhooks = \"all\"", "limits.webhooks"),
        ("monthly_budget_usd = 1\nbudget_webhook = \"https://10.0.0.1/\"", "tenants.budget_webhook"),
        ("monthly_budget_usd = 1\nbudget_webhook = \"http://x.example/\"", "tenants.budget_webhook"),
    ] {
        let error = entry(keys);
        assert!(error.contains(named), "{keys}: {error}");
    }
    let hook = "[[tenants]]\ndomain = \"a.example\"\nmonthly_budget_usd = 1\nbudget_webhook = ";
    assert!(parse(&format!("{hook}\"https://x.example/\"\n")).is_ok());
    assert!(parse(&format!("{hook}\"http://10.0.0.1/\"\n[limits]\nwebhooks = \"any\"\n")).is_ok());
}

#[test]
fn what_openai_or_azure_would_refuse_in_every_call_is_refused_before_the_first() {
    let cases = [
        ("[openai]\ntool_choice = \"tranfer\"", "openai.tool_choice", "press_keys"),
        (
            "[openai]\nmcp_servers = [{ label = \"a\", url = \"https://a\" }, { label = \"a\", url = \"https://b\" }]",
            "openai.mcp_servers",
            "two servers have the label \"a\"",
        ),
        ("[azure]\nendpoint = \"wss://r.openai.azure.com/openai/v1\"", "azure.endpoint", "of the resource alone"),
    ];
    for (text, key, why) in cases {
        let error = Config::parse(text, "ramal.toml", &environment(&[])).unwrap_err().to_string();
        assert!(error.contains(key) && error.contains(why), "{error}");
    }
    let slash = "[azure]\nendpoint = \"wss://r.openai.azure.com/\"";
    assert!(Config::parse(slash, "ramal.toml", &environment(&[])).is_ok());
}
