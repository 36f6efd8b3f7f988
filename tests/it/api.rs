//! The HTTP API over real sockets: a call is taken, found, heard and erased by programs that know only the address and a token.
use crate::stage;
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::Path,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};
use testkit::{
    authority::Authority,
    process::Process,
    stage::{Settings, Stage},
};
use ureq::{
    Agent,
    tls::{Certificate, RootCerts, TlsConfig},
};

const CALL: Duration = Duration::from_secs(40);
/// Bytes of a WAV header.
const HEADER: usize = 44;

/// Whoever asks, and believes this authority alone.
fn agent(authority: &Path) -> Result<Agent> {
    let trusted = Certificate::from_pem(&fs::read(authority)?)?;
    let tls = TlsConfig::builder().root_certs(RootCerts::new_with_certs(&[trusted])).build();
    let config = Agent::config_builder().tls_config(tls).http_status_as_error(false);
    Ok(config.timeout_global(Some(Duration::from_secs(10))).build().new_agent())
}

pub(crate) struct Client {
    pub(crate) agent: Agent,
    pub(crate) url: String,
    pub(crate) token: String,
}

impl Client {
    /// Sends a body, to be made (POST) or to be put in its place (PUT).
    pub(crate) fn send(&self, method: &str, path: &str, body: &Value) -> Result<(u16, Vec<u8>)> {
        let url = format!("{}{path}", self.url);
        let request = if method == "PUT" { self.agent.put(url) } else { self.agent.post(url) };
        let request = request.header("Authorization", format!("Bearer {}", self.token));
        let request = request.header("Content-Type", "application/json");
        let request = request.config().http_status_as_error(false).build();
        let mut response = request.send(body.to_string().as_bytes())?;
        Ok((response.status().as_u16(), response.body_mut().with_config().limit(50_000_000).read_to_vec()?))
    }

    fn bytes(&self, path: &str, range: Option<&str>) -> Result<(u16, Vec<u8>)> {
        let mut request = self.agent.get(format!("{}{path}", self.url));
        request = request.header("Authorization", format!("Bearer {}", self.token));
        if let Some(range) = range {
            request = request.header("Range", range);
        }
        let mut response = request.call()?;
        Ok((response.status().as_u16(), response.body_mut().with_config().limit(50_000_000).read_to_vec()?))
    }

    pub(crate) fn json(&self, path: &str) -> Result<Value> {
        let (status, body) = self.bytes(path, None)?;
        ensure!(status == 200, "{path}: {status} {}", String::from_utf8_lossy(&body));
        Ok(serde_json::from_slice(&body)?)
    }

    fn erase(&self, path: &str) -> Result<u16> {
        let request = self.agent.delete(format!("{}{path}", self.url));
        let response = request.header("Authorization", format!("Bearer {}", self.token)).call()?;
        Ok(response.status().as_u16())
    }

    /// The only conversation there is; its record is written after the BYE.
    pub(crate) fn conversation(&self) -> Result<Value> {
        let began = Instant::now();
        loop {
            let list = self.json("/v1/conversations?domain=demo.example")?;
            match list["items"].as_array().map(Vec::as_slice) {
                Some([only]) => return Ok(only.clone()),
                Some([]) if began.elapsed() < Duration::from_secs(5) => {
                    thread::park_timeout(Duration::from_millis(50));
                }
                _ => bail!("one conversation was to be there: {list}"),
            }
        }
    }
}

pub(crate) fn token(stage: &Stage, config: &Path) -> Result<String> {
    let config = config.to_string_lossy();
    let made = stage.run(&["tokens", "create", "--config", &config, "--name", "panel", "--all-domains"])?;
    ensure!(made.status.success(), "{:?}", made.lines);
    made.lines.iter().find(|line| line.starts_with("ramal_")).cloned().context("no token was printed")
}

#[test]
fn a_sealed_recording_is_found_heard_and_erased_over_tls() -> Result<()> {
    let mut stage = stage()?;
    let http = stage.ports.address()?;
    let authority = Authority::new(stage.folder(), "api")?;
    let certified = authority.certify(stage.folder(), "api")?;
    let sections = format!(
        "[recording]\nenabled = true\ndirectory = \"recordings\"\nkey = \"{}\"\n[api]\nlisten = \"{http}\"\ncertificate = {:?}\nkey = {:?}\n",
        "07".repeat(32),
        certified.certificate,
        certified.key
    );
    let ramal = stage.serve(&Settings::default().with(&sections).secretary("demo", ""))?;
    let uri = ramal.uri("demo");
    let call = ["call", &uri, "--duration", "3", "--json"];
    let called = Process::start("phone", &mut stage.command(&call))?.wait(CALL)?;
    ensure!(called.status.success(), "{:?}", called.lines);
    let token = token(&stage, &ramal.config)?;
    let client = Client { agent: agent(&authority.file)?, url: format!("https://{http}"), token };

    let stranger = Client { agent: agent(&authority.file)?, url: client.url.clone(), token: "ramal_x".into() };
    ensure!(stranger.bytes("/v1/conversations", None)?.0 == 401);
    ensure!(
        Agent::new_with_defaults().get(&client.url).call().is_err(),
        "who believes other authorities hears nothing"
    );

    let found = client.conversation()?;
    let path = format!("/v1/conversations/{}", found["conversation_uuid"].as_str().context("a UUID")?);
    ensure!(found["recording"]["sealed"] == true && found["recording"]["state"] == "complete", "{found}");
    let whole = client.json(&format!("{path}?domain=demo.example"))?;
    let greeting = whole["transcript"][1]["text"].as_str().unwrap_or_default();
    ensure!(whole["transcript"][1]["who"] == "assistant" && !greeting.is_empty(), "{whole}");
    let sound = format!("{path}/recording?domain=demo.example");
    let (status, wav) = client.bytes(&sound, None)?;
    ensure!(status == 200 && wav.starts_with(b"RIFF"), "{status}");
    let data = u32::from_le_bytes(wav.get(40..HEADER).context("a header")?.try_into()?);
    ensure!(usize::try_from(data)? == wav.len() - HEADER, "the header says {data} of {}", wav.len());
    let seconds = f64::from(data) / f64::from(8_000 * 4);
    ensure!((2.0..5.0).contains(&seconds), "{seconds} s of a call of 3");
    let (status, part) = client.bytes(&sound, Some("bytes=40000-49999"))?;
    ensure!(status == 206 && Some(part.as_slice()) == wav.get(40_000..50_000), "{status} {}", part.len());
    let (status, _) = client.bytes(&sound, Some("bytes=999999999-"))?;
    ensure!(status == 416);

    ensure!(client.erase(&format!("{path}?domain=demo.example"))? == 204);
    ensure!(client.bytes(&sound, None)?.0 == 404);
    let left = walk(&stage.folder().join("recordings"))?;
    ensure!(left.is_empty(), "{left:?}");
    let config = ramal.config.to_string_lossy().into_owned();
    let audit = stage.run(&["conversations", "audit", "--domain", "demo.example", "--config", &config])?;
    let told = |what: &str| audit.lines.iter().any(|line| line.contains(what));
    ensure!(told("token panel  export") && told("token panel  erase"), "{:?}", audit.lines);
    let lines = ramal.end()?;
    ensure!(!lines.iter().any(|line| line.contains(&client.token)), "the token is in the log");
    stage.clear()
}

/// What is told at the domain of the stage, line by line, until the server ends.
fn follow(client: &Client) -> Result<mpsc::Receiver<String>> {
    // An answer without end has no deadline.
    let request = Agent::new_with_defaults().get(format!("{}/v1/events?domain=demo.example", client.url));
    let response = request.header("Authorization", format!("Bearer {}", client.token)).call()?;
    ensure!(response.headers()["content-type"] == "text/event-stream");
    let (told, lines) = mpsc::channel();
    let reader = BufReader::new(response.into_body().into_reader());
    thread::spawn(move || reader.lines().map_while(std::io::Result::ok).try_for_each(|line| told.send(line)));
    Ok(lines)
}

#[test]
fn a_call_is_seen_followed_heard_and_ended_by_those_who_have_a_token() -> Result<()> {
    let mut stage = stage()?;
    let http = stage.ports.address()?;
    let sections = format!("[recording]\nlisten_in = [\"demo.example\"]\n[api]\nlisten = \"{http}\"\n");
    let ramal = stage.serve(&Settings::default().with(&sections).secretary("demo", ""))?;
    let token = token(&stage, &ramal.config)?;
    let client = Client { agent: Agent::new_with_defaults(), url: format!("http://{http}"), token };
    let events = follow(&client)?;
    ensure!(client.json("/v1/calls?domain=demo.example")?["items"] == Value::Array(Vec::new()));
    let uri = ramal.uri("demo");
    let phone = Process::start("phone", &mut stage.command(&["call", &uri, "--duration", "30", "--json"]))?;
    let began = Instant::now();
    let call = loop {
        let list = client.json("/v1/calls?domain=demo.example")?;
        match list["items"].get(0) {
            Some(call) if call["state"] == "talking" => break call.clone(),
            _ => ensure!(began.elapsed() < CALL, "{list}"),
        }
        thread::park_timeout(Duration::from_millis(50));
    };
    let path = format!("/v1/calls/{}", call["conversation_uuid"].as_str().context("a UUID")?);
    let request = client.agent.get(format!("{}{path}/listen?domain=demo.example", client.url));
    let response = request.header("Authorization", format!("Bearer {}", client.token)).call()?;
    ensure!(response.headers()["content-type"] == "audio/wav");
    // A second of both sides, in which the greeting is heard on the right.
    let mut sound = vec![0; HEADER + 32_000];
    response.into_body().into_reader().read_exact(&mut sound)?;
    let right = sound.get(HEADER..).context("samples")?.chunks(4).filter(|frame| frame[2..] != [0, 0]).count();
    ensure!(sound.starts_with(b"RIFF") && right > 2_000, "{right} of 8000 samples of the assistant are no silence");
    let post = |path: &str| -> Result<u16> {
        let request = client.agent.post(format!("{}{path}?domain=demo.example", client.url));
        let request = request.header("Authorization", format!("Bearer {}", client.token));
        let request = request.config().http_status_as_error(false).build();
        Ok(request.send_empty()?.status().as_u16())
    };
    ensure!(post(&format!("{path}/hangup"))? == 204);
    let ended = phone.wait(CALL)?;
    ensure!(ended.status.success(), "{:?}", ended.lines);
    ensure!(post(&format!("{path}/hangup"))? == 404, "it is over");
    let mut told = Vec::new();
    while !told.contains(&"event: call_ended".to_owned()) {
        let line = events.recv_timeout(Duration::from_secs(5)).with_context(|| format!("{told:?}"))?;
        told.push(line);
    }
    for event in ["call_began", "call_answered", "listened_to"] {
        ensure!(told.contains(&format!("event: {event}")), "{event}: {told:?}");
    }
    ensure!(told.iter().any(|line| line.contains("token panel")), "who listened is told: {told:?}");
    // Whoever follows does not hold up the end.
    let began = Instant::now();
    ramal.end()?;
    ensure!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    stage.clear()
}

fn walk(folder: &Path) -> Result<Vec<String>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        match path.is_dir() {
            true => files.extend(walk(&path)?),
            false => files.push(path.display().to_string()),
        }
    }
    Ok(files)
}

#[test]
fn beyond_loopback_it_wants_tls_or_to_be_told_that_it_needs_none() -> Result<()> {
    let stage = stage()?;
    let check = |api: &str| -> Result<(bool, String)> {
        let file = stage.folder().join("api.toml");
        fs::write(&file, format!("[api]\n{api}\n"))?;
        let ended = stage.run(&["config", "--check", &file.to_string_lossy()])?;
        Ok((ended.status.success(), ended.lines.join("\n")))
    };
    let (right, said) = check("listen = \"192.0.2.1:9095\"")?;
    ensure!(!right && said.contains("api.listen") && said.contains("is not loopback"), "{said}");
    for api in [
        "listen = \"127.0.0.1:9095\"",
        "listen = \"192.0.2.1:9095\"\nplain = true",
        "listen = \"192.0.2.1:9095\"\ncertificate = \"a\"\nkey = \"b\"",
    ] {
        let (right, said) = check(api)?;
        ensure!(right, "{api}: {said}");
    }
    let (right, said) = check("listen = \"192.0.2.1:9095\"\ncertificate = \"a\"")?;
    ensure!(!right && said.contains("api.key"), "{said}");
    fs::write(stage.folder().join("old.toml"), "[control]\nhttp = \"127.0.0.1:9095\"\n")?;
    let old = stage.run(&["config", "--check", &stage.folder().join("old.toml").to_string_lossy()])?;
    let said = old.lines.join("\n");
    ensure!(!old.status.success() && said.contains("is now `listen` of [api]"), "{said}");
    stage.clear()
}
