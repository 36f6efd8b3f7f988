//! `ramal call`, the phone, with SIPp as the one it calls.
use crate::stage;
use anyhow::{Context, Result, ensure};
use testkit::{
    dns::Dns,
    process::Ended,
    sipp::{Sipp, Transport},
    stage::Stage,
};

/// Lets SIPp play `scenario` and calls it; `more` is appended to `ramal call URI --json`.
fn call(scenario: &str, transport: Transport, more: &[&str]) -> Result<(Ended, String)> {
    let mut stage = stage()?;
    let folder = stage.folder().to_owned();
    let callee = Sipp::new(scenario).over(transport).start(&mut stage.ports, &folder)?;
    let word = if transport == Transport::Udp { "udp" } else { "tcp" };
    let uri = format!("sip:phone@{};transport={word}", callee.local());
    let mut arguments = vec!["call", &uri, "--json"];
    arguments.extend(more);
    let ended = dial(&stage, &arguments)?;
    let messages = callee.finish().with_context(|| ended.lines.join("\n"))?;
    stage.clear()?;
    Ok((ended, messages))
}

/// SIPp over TCP must listen before it is called; over UDP the INVITE is sent again.
fn dial(stage: &Stage, arguments: &[&str]) -> Result<Ended> {
    let mut ended = stage.run(arguments)?;
    for _ in 0..20 {
        let report = report(&ended);
        if !report.is_ok_and(|report| report["ended_by"]["refused"]["status"] == 503) {
            break;
        }
        ended = stage.run(arguments)?;
    }
    Ok(ended)
}

/// The report of a call that was answered.
fn answered(ended: &Ended) -> Result<serde_json::Value> {
    ensure!(ended.status.success(), "{}:\n{}", ended.status, ended.lines.join("\n"));
    report(ended)
}

fn report(ended: &Ended) -> Result<serde_json::Value> {
    let text = ended.lines.iter().skip_while(|line| !line.starts_with('{')).cloned().collect::<Vec<_>>().join("\n");
    serde_json::from_str(&text).with_context(|| format!("no report: {text}"))
}

#[test]
fn a_call_udp() -> Result<()> {
    let report = answered(&call("uas_invite", Transport::Udp, &["--duration", "1"])?.0)?;
    ensure!(report["codec"] == "PCMU", "{report}");
    ensure!(report["sent"].as_u64().is_some_and(|sent| (40..=60).contains(&sent)), "50 packets in 1 s: {report}");
    Ok(())
}

/// RFC 3263: DNS alone says that it is TCP, and where; nobody listens at the preferred of two servers.
#[test]
fn a_name_is_located_and_a_dead_server_is_followed_by_the_next() -> Result<()> {
    let mut stage = stage()?;
    let folder = stage.folder().to_owned();
    let callee = Sipp::new("uas_invite").over(Transport::Tcp).start(&mut stage.ports, &folder)?;
    let (alive, dead) = (callee.local().port(), stage.ports.port()?);
    let records = [
        "naptr-record=pbx.example,10,10,s,SIP+D2T,,_sip._tcp.pbx.example".into(),
        format!("srv-host=_sip._tcp.pbx.example,one.pbx.example,{dead},10,0"),
        format!("srv-host=_sip._tcp.pbx.example,two.pbx.example,{alive},20,0"),
        "host-record=one.pbx.example,127.0.0.1".into(),
        "host-record=two.pbx.example,127.0.0.1".into(),
    ];
    let dns = Dns::serve(&records, &mut stage.ports)?;
    let at = dns.at().to_string();
    let ended = dial(&stage, &["call", "sip:phone@pbx.example", "--dns", &at, "--json", "--duration", "1"])?;
    answered(&ended).with_context(|| dns.lines().join("\n"))?;
    let messages = callee.finish()?;
    ensure!(messages.contains("INVITE sip:phone@pbx.example SIP/2.0"), "{messages}");
    stage.clear()
}

#[test]
fn a_call_tcp() -> Result<()> {
    answered(&call("uas_invite", Transport::Tcp, &["--duration", "1"])?.0).map(drop)
}

#[test]
fn early_media() -> Result<()> {
    let report = answered(&call("uas_invite_early", Transport::Udp, &["--duration", "1"])?.0)?;
    ensure!(report["provisional"] == 183, "{report}");
    Ok(())
}

#[test]
fn an_answer_that_comes_reliably_before_the_200() -> Result<()> {
    let (ended, messages) = call("uas_invite_100rel", Transport::Udp, &["--duration", "1"])?;
    let report = answered(&ended)?;
    ensure!(report["provisional"] == 183 && report["codec"] == "PCMU", "{report}");
    let pracks = messages.lines().filter(|line| line.starts_with("PRACK ")).count();
    ensure!(pracks == 1, "one PRACK, {pracks}:\n{messages}");
    Ok(())
}

#[test]
fn a_challenge() -> Result<()> {
    let more = ["--duration", "1", "--user", "2000", "--password", "s3cret"];
    answered(&call("uas_invite_challenge", Transport::Udp, &more)?.0).map(drop)
}

#[test]
fn a_challenge_of_a_proxy() -> Result<()> {
    let more = ["--duration", "1", "--user", "2000", "--password", "s3cret"];
    answered(&call("uas_invite_challenge_proxy", Transport::Udp, &more)?.0).map(drop)
}

#[test]
fn a_busy_callee() -> Result<()> {
    let (ended, _) = call("uas_invite_busy", Transport::Udp, &["--duration", "1"])?;
    let said = ended.lines.join("\n");
    ensure!(ended.status.code() == Some(1) && said.contains("486"), "{}: {said}", ended.status);
    Ok(())
}

#[test]
fn a_callee_who_hangs_up() -> Result<()> {
    let report = answered(&call("uas_bye_early", Transport::Udp, &["--duration", "10"])?.0)?;
    ensure!(report["duration_ms"].as_f64().is_some_and(|ms| ms < 5_000.0), "ended by the BYE: {report}");
    ensure!(report["ended_by"].to_string().contains("far_end"), "{report}");
    Ok(())
}
