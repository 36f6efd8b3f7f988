//! What a call costs through each provider, and whether calls through all of them at once hear each other.
use crate::{
    analysis::{self, Window},
    crowd::Stage,
    labs::Lab,
    machine,
    metric::{Metric, round},
    origin::Machine,
    provider::Log,
    server::{Server, Usage},
    tones::{Answers, Tones},
    uac::{Event, Uac},
};
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use std::{
    fs,
    net::{SocketAddr, UdpSocket},
    path::Path,
    thread,
    time::{Duration, Instant},
};

/// Calls through one provider alone …
const ALONE: usize = 20;
/// … and through all of them together.
const TOGETHER: usize = 100;
const BETWEEN_CALLS: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_secs(10);
const WARM_UP: Duration = Duration::from_secs(5);
/// How long the server is watched before its first call.
const IDLE: Duration = Duration::from_secs(2);

/// What the simulated models say: what they heard.
const ECHO: &str = "[[replies]]\nsay = { echo_ms = 800 }\n";

/// Who speaks with the caller.
#[derive(Clone, Copy, Debug)]
struct Dialect {
    name: &'static str,
    /// What a secretary says of it.
    secretary: &'static str,
    /// Whether it answers a tone: our own detector takes none for speech.
    answers: bool,
}

const DIALECTS: [Dialect; 7] = [
    Dialect { name: "openai", secretary: "provider = \"openai\"", answers: true },
    Dialect { name: "openai-live", secretary: "provider = \"openai-live\"", answers: true },
    Dialect { name: "gemini", secretary: "provider = \"gemini\"", answers: true },
    Dialect { name: "elevenlabs", secretary: "provider = \"elevenlabs\"", answers: true },
    Dialect { name: "pipeline", secretary: "provider = \"pipeline\"", answers: true },
    Dialect { name: "turn_based", secretary: "provider = \"openai\"\nmode = \"turn_based\"", answers: false },
    Dialect { name: "local", secretary: "provider = \"local\"", answers: false },
];

/// What takes the place of a service, by its name in `ramal lab`.
#[derive(Clone, Copy, Debug)]
struct Simulator {
    lab: &'static str,
    script: &'static str,
    /// Its section. One file has the certificates of all.
    section: fn(&Lab) -> String,
}

const SIMULATORS: [Simulator; 5] = [
    Simulator {
        lab: "openai",
        script: ECHO,
        section: |lab| format!("[openai]\napi_key = \"none\"\nca_file = \"labs.pem\"\nurl = \"{}\"\n", lab.url),
    },
    Simulator {
        lab: "live",
        script: ECHO,
        section: |lab| format!("[live]\napi_key = \"none\"\nurl = \"{}\"\n", lab.url),
    },
    Simulator {
        lab: "gemini",
        script: ECHO,
        section: |lab| format!("[gemini]\napi_key = \"none\"\nurl = \"{}\"\n", lab.host()),
    },
    Simulator {
        lab: "elevenlabs",
        script: concat!("allowed = [\"prompt\", \"language\"]\n", "[[replies]]\nsay = { echo_ms = 800 }\n"),
        section: |lab| format!("[elevenlabs]\napi_key = \"none\"\nagent_id = \"agent\"\nurl = \"{}\"\n", lab.url),
    },
    Simulator { lab: "parts", script: "echo_ms = 800\n", section: services },
];

fn services(lab: &Lab) -> String {
    let service = |(name, path): (&str, &str)| {
        format!(
            "[[services]]\nname = \"{name}\"\nurl = \"{}{path}\"\napi_key = \"none\"\nca_file = \"labs.pem\"\n",
            lab.url
        )
    };
    let services: String = [("deepgram", ""), ("groq", "/openai/v1")].map(service).concat();
    let voice = "tts = \"deepgram:aura-2-thalia-en\"\n";
    format!("{services}[pipeline]\n{voice}[turn_based]\n{voice}")
}

/// Calls that were held.
#[derive(Debug)]
struct Row {
    name: String,
    calls: usize,
    /// Of calls whose provider answers at all.
    answers: Answers,
    cpu: f64,
    rss_kib: f64,
    pacing: Vec<f64>,
    others: f64,
}

/// All that was measured.
#[derive(Debug)]
pub(crate) struct Dialects {
    rows: Vec<Row>,
    length: Duration,
    load_before: f64,
}

/// Each alone, then all together.
pub(crate) fn measure(stage: &Stage<'_>, length: Duration) -> Result<Dialects> {
    let load_before = machine::load();
    let lab = |simulator: &Simulator| Lab::start(stage.program, stage.folder, simulator.lab, simulator.script);
    let labs = SIMULATORS.iter().map(lab).collect::<Result<Vec<_>>>()?;
    let certificates: Vec<&str> = labs.iter().map(|lab| lab.certificate.as_str()).collect();
    fs::write(stage.folder.join("labs.pem"), certificates.concat())?;
    let sections: String = SIMULATORS.iter().zip(&labs).map(|(simulator, lab)| (simulator.section)(lab)).collect();
    let mut rows = Vec::new();
    for dialect in &DIALECTS {
        rows.push(hold(stage, &sections, std::slice::from_ref(dialect), (ALONE, length))?);
    }
    rows.push(hold(stage, &sections, &DIALECTS, (TOGETHER, length))?);
    Ok(Dialects { rows, length, load_before })
}

fn hold(stage: &Stage<'_>, sections: &str, through: &[Dialect], (calls, length): (usize, Duration)) -> Result<Row> {
    let sip = UdpSocket::bind("127.0.0.1:0").context("a port for the server")?.local_addr()?;
    let server = Server::run(stage.program, stage.folder, sip, &configuration(sip, sections))?;
    let names: Vec<&str> = through.iter().map(|dialect| dialect.name).collect();
    let name = if let [name] = names[..] { name.to_owned() } else { "all together".to_owned() };
    stage.show.phase(&format!("{calls} calls through {}", names.join(", ")), WARM_UP + length);
    thread::sleep(IDLE);
    let idle = server.usage()?;
    let (phones, mut uac) = (Tones::start(calls)?, Uac::new(server.sip, "none")?);
    place(&mut uac, &phones, &names, calls).with_context(|| server.last_words())?;
    pump(&mut uac, Instant::now() + WARM_UP)?;
    let (from, before, work, own) =
        (Instant::now(), server.usage()?, machine::Work::so_far(), Usage::of(std::process::id())?);
    pump(&mut uac, from + length)?;
    let after = server.usage()?;
    let (busy, _) = machine::Work::so_far().percent_since(work);
    let bench = Usage::of(std::process::id())?.percent_since(&own);
    let cpu = after.percent_since(&before);
    let window = Window { from, until: Instant::now() };
    end(&mut uac, calls)?;
    let heard = phones.stop()?;
    ensure!(server.end()?, "the server did not end by itself after SIGTERM");
    let mut answers = Answers::default();
    for (number, (_, one)) in heard.iter().enumerate() {
        if through.get(number % through.len()).is_some_and(|dialect| dialect.answers) {
            answers.asked += one.asked;
            answers.own += one.own;
            answers.strange.extend(&one.strange);
        }
    }
    let lines: Vec<_> = heard.into_iter().map(|(line, _)| line).collect();
    let pacing = analysis::figures(&lines, &Log::default(), window).pacing;
    let cores = Machine::look()?.cores as f64;
    let rss_kib = (after.rss_kib - idle.rss_kib) / calls as f64;
    Ok(Row {
        name,
        calls,
        answers,
        cpu: cpu / calls as f64,
        rss_kib,
        pacing,
        others: (busy * cores - cpu - bench).max(0.0),
    })
}

fn configuration(sip: SocketAddr, sections: &str) -> String {
    let secretary = |dialect: &Dialect| {
        let Dialect { name, secretary, .. } = dialect;
        format!(
            "[[secretaries]]\ndomain = \"bench.example\"\nname = \"{name}\"\nextension = \"{name}\"\n{secretary}\n\
             language = \"en-US\"\nprompt = \"You are being measured.\"\nmax_duration_seconds = 3600\nmax_turns = 10000\n"
        )
    };
    let secretaries: Vec<String> = DIALECTS.iter().map(secretary).collect();
    format!(
        "# Written by the benchmark.\n[sip]\nudp = [\"{sip}\"]\ntcp = []\n[rtp]\naddress = \"127.0.0.1\"\nports = \"22000-27999\"\n\
         [database]\nurl = \"sqlite:bench.db\"\n{sections}[local]\nmodels_dir = \"no-models\"\n[log]\nlevel = \"warn\"\n\
         [[peers]]\nname = \"phones\"\naddresses = [\"127.0.0.1\"]\n{}",
        secretaries.concat()
    )
}

/// Places all calls, each through the next provider, and waits until they are answered.
fn place(uac: &mut Uac, phones: &Tones, names: &[&str], calls: usize) -> Result<()> {
    let start = Instant::now();
    let mut answered = 0;
    for phone in 0..calls {
        let extension = names.get(phone % names.len()).context("no provider")?;
        uac.place_at(extension, phones.port(phone)?)?;
        answered += pump_answers(uac, phones, start + BETWEEN_CALLS * (phone as u32 + 1))?;
    }
    let deadline = Instant::now() + PATIENCE;
    while answered < calls {
        ensure!(Instant::now() < deadline, "{answered} of {calls} calls were answered");
        answered += pump_answers(uac, phones, deadline.min(Instant::now() + BETWEEN_CALLS))?;
    }
    Ok(())
}

fn pump_answers(uac: &mut Uac, phones: &Tones, until: Instant) -> Result<usize> {
    let mut answered = 0;
    while Instant::now() < until {
        for event in uac.step(until)? {
            match event {
                Event::Answered { call, rtp, .. } => {
                    phones.connect(call, rtp);
                    answered += 1;
                }
                Event::Ended { .. } => {}
                Event::Failed { call, why } => bail!("call {call}: {why}"),
            }
        }
    }
    Ok(answered)
}

fn pump(uac: &mut Uac, until: Instant) -> Result<()> {
    while Instant::now() < until {
        for event in uac.step(until)? {
            if let Event::Failed { call, why } = event {
                bail!("call {call}: {why}");
            }
        }
    }
    Ok(())
}

fn end(uac: &mut Uac, calls: usize) -> Result<()> {
    (0..calls).try_for_each(|call| uac.hang_up(call))?;
    let (mut ended, deadline) = (0, Instant::now() + PATIENCE);
    while ended < calls {
        ensure!(Instant::now() < deadline, "{ended} of {calls} calls took our BYE");
        ended += uac.step(deadline)?.iter().filter(|event| matches!(event, Event::Ended { .. })).count();
    }
    Ok(())
}

impl Dialects {
    /// For a terminal, and the heart of the page.
    pub(crate) fn table(&self) -> String {
        let mut text = String::from(
            "| through | calls | CPU, % of a core a call | memory, KiB a call | off the grid, ms p50 / p99 | turns | answered in their own pitch | \
             other pitches heard | other processes, % of a core |\n|---|---|---|---|---|---|---|---|---|\n",
        );
        for row in &self.rows {
            let pacing = Metric::new("", "", "", row.pacing.clone());
            let at = |percentile| pacing.percentile(percentile).unwrap_or_default();
            text.push_str(&format!(
                "| {} | {} | {:.3} | {:.0} | {:.2} / {:.2} | {} | {} | {} | {:.0} |\n",
                row.name,
                row.calls,
                row.cpu,
                row.rss_kib,
                at(50.0),
                at(99.0),
                row.answers.asked,
                row.answers.own,
                row.answers.strange.len(),
                row.others,
            ));
        }
        text
    }

    /// For a program.
    pub(crate) fn summary(&self) -> Value {
        let row = |row: &Row| {
            json!({"through": row.name, "calls": row.calls, "cpu_percent_per_call": round(row.cpu), "rss_kib_per_call": round(row.rss_kib),
                "turns": row.answers.asked, "answered": row.answers.own, "strange_hz": row.answers.strange})
        };
        self.rows.iter().map(row).collect()
    }

    /// Writes its page.
    pub(crate) fn write(&self, docs: &Path, machine: &Machine, when: &str) -> Result<()> {
        let page = format!(
            "# Dialects\n\nWritten by `make bench-dialects` on {when}; measured again, not edited.\n\n{}\n{METHOD}\n\nHeld for {} s after a \
             warm-up of {} s; load average {:.2} before.\n\n## Machine\n\n{machine}. Phones and \
             simulators share these cores with the server.\n",
            self.table(),
            self.length.as_secs(),
            WARM_UP.as_secs(),
            self.load_before,
        );
        fs::write(docs.join("benchmarks-dialects.md"), page).context("write benchmarks-dialects.md")
    }
}

const METHOD: &str = "\
Calls in PCMU with packets of 20 ms, through `ramal lab` of each provider over TLS on loopback, one process for each (the services of `pipeline` \
and `turn_based` are one). Every phone \
says a tone of its own for a second out of four (400 Hz and 25 Hz more for each next phone), and the simulated model answers with \
a tone of 800 ms as high as what it heard: a caller who hears another pitch than his own hears somebody else, in one direction or the \
other. Turns count from the first to the hang-up, so the last ones may be unanswered. Those who hear by Ramal's detector, \
which takes no tone for speech, listen and are not answered: `turn_based`, and the built-in provider, which has no model here. Their turns are \
not counted. CPU is user and system time of the server by /proc, its idle share \
included; memory is VmRSS less that of the idle server, in which the first calls bring what all share. Pacing is as in \
[benchmarks-capacity.md](benchmarks-capacity.md).";
