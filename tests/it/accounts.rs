//! Accounts that come and go while the server runs, by its configuration and by its database; SIPp is the registrar.
use crate::stage;
use anyhow::{Context, Result, ensure};
use std::{fs, process::Command, time::Duration};
use testkit::{
    sipp::{Sipp, SippRun},
    stage::{Ramal, Settings, Stage},
};

/// A registrar that grants one registration, and waits for its removal.
fn registrar(stage: &mut Stage) -> Result<SippRun> {
    let folder = stage.folder().to_owned();
    Sipp::new("uas_register").patience(Duration::from_secs(60)).start(&mut stage.ports, &folder)
}

fn account(registrar: &SippRun) -> String {
    let at = registrar.local();
    format!(
        "[[registrations]]\nregistrar = \"{at}\"\ndomain = \"test.local\"\nuser = \"2000\"\npassword = \"s3cret\"\nexpires_s = 600\n"
    )
}

/// Waits until the registrar has granted what was asked.
fn granted(registrar: &SippRun, ramal: &Ramal) -> Result<()> {
    for _ in 0..1_000 {
        if registrar.messages().is_ok_and(|messages| messages.contains("SIP/2.0 200 OK")) {
            return Ok(());
        }
        std::thread::park_timeout(Duration::from_millis(30));
    }
    anyhow::bail!("no registration: {:?}\n{}", registrar.messages(), ramal.process)
}

fn requests(registrar: &SippRun) -> Result<usize> {
    Ok(registrar.messages()?.matches("\nREGISTER sip:").count())
}

fn reload(ramal: &mut Ramal, config: &str) -> Result<()> {
    fs::write(&ramal.config, config)?;
    let mark = ramal.process.mark();
    ramal.process.hang_up()?;
    ramal.process.wait_for_line_after(mark, "Configuration read again", Duration::from_secs(10)).map(drop)
}

#[test]
fn a_reload_adds_and_removes_accounts_without_touching_others() -> Result<()> {
    let mut stage = stage()?;
    let (stays, comes) = (registrar(&mut stage)?, registrar(&mut stage)?);
    let mut ramal = stage.serve(&Settings::default().secretary("demo", "").with(&account(&stays)))?;
    granted(&stays, &ramal)?;
    let before = requests(&stays)?;
    let config = fs::read_to_string(&ramal.config)?;
    reload(&mut ramal, &format!("{config}\n{}", account(&comes)))?;
    granted(&comes, &ramal)?;
    reload(&mut ramal, "[sip]\nudp = 7\n").expect_err("a mistake is not taken over");
    reload(&mut ramal, &config)?;
    comes.finish().context("the removed account is not unregistered")?;
    ensure!(requests(&stays)? == before, "the other account was touched");
    ramal.end()?;
    stays.finish()?;
    stage.clear()
}

/// Runs SQL on the server's database file, as FusionPBX's pages would from beside it.
fn sql(ramal: &Ramal, statement: &str) -> Result<()> {
    let database = ramal.config.with_extension("db");
    let program =
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], timeout=5); c.execute(sys.argv[2]); c.commit()";
    let ran = Command::new("python3").args(["-c", program]).arg(&database).arg(statement).output()?;
    ensure!(ran.status.success(), "{statement}: {}", String::from_utf8_lossy(&ran.stderr));
    Ok(())
}

#[test]
fn a_row_of_the_database_is_registered_until_it_is_switched_off() -> Result<()> {
    let mut stage = stage()?;
    let registrar = registrar(&mut stage)?;
    let ramal = stage.serve(&Settings::default().secretary("demo", ""))?;
    let at = registrar.local();
    sql(
        &ramal,
        &format!(
            "insert into v_voice_registrations (domain_uuid, registrar, from_domain, username, password, expire_seconds) \
             select domain_uuid, '{at}', 'test.local', '2000', 's3cret', 600 from v_domains limit 1"
        ),
    )?;
    granted(&registrar, &ramal)?;
    let config = ramal.config.to_string_lossy().into_owned();
    let status = stage.run(&["status", "--config", &config])?.lines.join("\n");
    ensure!(status.contains("2000@test.local"), "{status}");
    sql(&ramal, "update v_voice_registrations set enabled = 0")?;
    registrar.finish().context("the account is not unregistered")?;
    ramal.end()?;
    stage.clear()
}
