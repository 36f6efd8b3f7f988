//! What becomes of calls, their records and their pace when the database, Redis or the disk are away for minutes.
mod books;
mod disk;
mod ground;
mod page;
mod plan;
mod services;

use crate::{
    crowd::Stage,
    machine,
    phones::Floors,
    provider::{Provider, Security, Tls},
    server::{self, Server},
    speech::Voice,
    uac::Uac,
};
use anyhow::{Context, Result};
use books::Books;
use disk::{Disk, SPILL};
use ground::{Crew, GROUPS, Ground};
use plan::{Phase, Row, Thing};
use services::{Postgres, Redis, Scratch};
use std::{
    collections::BTreeMap,
    net::{SocketAddr, UdpSocket},
    path::Path,
    sync::Arc,
};

/// Calls at once.
pub(crate) const CALLS: usize = 100;
/// Room on the disk: that of recordings which are being written or were finished since they were last taken from it. A call has 4 MB
/// of them.
const MIB_A_CALL: usize = 4;
const MIB: usize = 64;
/// Limits and a budget that no call comes near, so that each call is counted and paid for.
const TENANT: &str = "insert into v_voice_tenants (domain_uuid, max_concurrent_calls, calls_per_minute, monthly_budget_usd) \
    select domain_uuid, 1000, 10000, 100000 from v_domains where domain_name = 'bench.example'";

/// All that was seen.
#[derive(Debug)]
pub(crate) struct Faults {
    phases: Vec<Phase>,
    rows: Vec<Row>,
    /// Why calls were refused or dropped.
    whys: BTreeMap<String, usize>,
    books: Books,
    calls: usize,
    load: (f64, f64),
    /// Percent of all cores that anybody kept busy, and percent that the hypervisor took.
    busy: (f64, f64),
    /// How the server got a core, in words.
    scheduling: String,
    /// Faults that the provider saw, by their text without numbers.
    strange: BTreeMap<String, usize>,
    /// Whether the server ended by itself.
    clean: bool,
}

/// What the server leans on.
#[derive(Debug)]
struct Backs {
    postgres: Postgres,
    redis: Redis,
    disk: Disk,
}

impl Backs {
    fn new(scratch: &Path, calls: usize) -> Result<Self> {
        let (postgres, redis) = (Postgres::new(scratch)?, Redis::new(scratch)?);
        Ok(Self { postgres, redis, disk: Disk::new(scratch, MIB + MIB_A_CALL * calls)? })
    }

    fn take_away(&mut self, thing: Thing) -> Result<()> {
        match thing {
            Thing::Database => self.postgres.kill(),
            Thing::Redis => self.redis.kill(),
            Thing::Disk => self.disk.fill(),
        }
    }

    fn give_back(&mut self, thing: Thing) -> Result<()> {
        match thing {
            Thing::Database => self.postgres.start(),
            Thing::Redis => self.redis.start(),
            Thing::Disk => self.disk.free(),
        }
    }
}

/// Holds as many calls. Each fault lasts for so many minutes, or as long as it does by itself.
pub(crate) fn hold(stage: &Stage<'_>, minutes: Option<u32>, calls: usize) -> Result<Faults> {
    let (before, work) = (machine::load(), machine::Work::so_far());
    let group = (calls / GROUPS).max(1);
    let calls = group * GROUPS;
    let scratch = Scratch::new("run")?;
    let mut backs = Backs::new(&scratch.0, calls)?;
    if !backs.disk.is_small() {
        eprintln!("the disk is not filled: neither root nor a user namespace may mount one here");
    }
    let phases = plan::phases(minutes, backs.disk.is_small());
    let floors = Arc::new(Floors::new(calls));
    let security = Security::Tls(Tls::new(stage.folder)?);
    let provider = Provider::start(Voice::load(&stage.speech, "en-piper")?, Arc::clone(&floors), security)?;
    let server = start(stage, &provider, &mut backs)?;
    backs.postgres.ask(TENANT)?;
    let (uac, voice) = (Uac::new(server.sip, server::EXTENSION)?, Voice::load(&stage.speech, "en-agent")?);
    let crew = Crew { uac, voice, floors, group };
    let notes = Ground::new(&mut backs, stage.show, crew, &phases).run().with_context(|| server.last_words())?;
    let (books, rows, whys) = books::reckon(notes, &phases, &backs, &server)?;
    let scheduling = server.scheduling();
    let clean = server.end()?;
    let mut strange = BTreeMap::new();
    for fault in provider.stop()?.faults {
        *strange.entry(fault.replace(|c: char| c.is_ascii_digit(), "")).or_default() += 1;
    }
    let busy = machine::Work::so_far().percent_since(work);
    let load = (before, machine::load());
    Ok(Faults { phases, rows, whys, books, calls, load, busy, scheduling, strange, clean })
}

fn start(stage: &Stage<'_>, provider: &Provider, backs: &mut Backs) -> Result<Server> {
    let sip = UdpSocket::bind("127.0.0.1:0").context("a port for the server")?.local_addr()?;
    let command = backs.disk.command(&stage.program.canonicalize()?);
    let server = Server::launch(command, stage.folder, sip, &configuration(sip, provider, backs))?;
    backs.disk.enter(server.id());
    Ok(server)
}

fn configuration(sip: SocketAddr, provider: &Provider, backs: &Backs) -> String {
    let trusted = provider.ca_file().map_or(String::new(), |file| format!("ca_file = \"{}\"\n", file.display()));
    format!(
        r#"# Written by the benchmark.
[sip]
udp = ["{sip}"]
tcp = []
[rtp]
address = "127.0.0.1"
ports = "22000-27999"
[database]
url = "{}"
spill = "{}"
[redis]
url = "{}"
[recording]
enabled = true
directory = "{}"
[openai]
api_key = "not-a-key"
url = "{}"
{trusted}[local]
models_dir = "no-models"
[log]
level = "warn"
json = true
[[peers]]
name = "phones"
addresses = ["127.0.0.1"]
[[secretaries]]
domain = "bench.example"
name = "Bench"
extension = "{}"
provider = "openai"
language = "en-US"
prompt = "You are being measured."
max_duration_seconds = 3600
max_turns = 10000
"#,
        backs.postgres.url(),
        backs.disk.folder.join(SPILL).display(),
        backs.redis.url(),
        backs.disk.folder.join("recordings").display(),
        provider.url(),
        server::EXTENSION,
    )
}
