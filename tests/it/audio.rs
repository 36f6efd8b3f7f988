//! What leaves as RTP, measured at a socket of ours.
use crate::house;
use anyhow::{Result, ensure};
use std::time::Duration;
use testkit::{ear::Ear, sipp::Sipp};

/// RFC 3551 §4.5.14: PCMU.
const PCMU: u8 = 0;

#[test]
fn fifty_packets_a_second_from_answer_to_bye() -> Result<()> {
    let (mut stage, ramal) = house()?;
    let folder = stage.folder().to_owned();
    let port = stage.ports.run(2)?.0;
    let ear = Ear::open(port)?;
    // The scenario talks for 1.5 s.
    Sipp::new("uac_invite").to(ramal.sip).audio(port).run(&mut stage.ports, &folder)?;
    let heard = ear.heard();
    ensure!((70..=80).contains(&heard.len()), "{} packets in 1.5 s", heard.len());
    for (before, after) in heard.iter().zip(heard.iter().skip(1)) {
        ensure!(after.sequence == before.sequence.wrapping_add(1), "{} after {}", after.sequence, before.sequence);
        // A frame whose time has passed on a busy machine is left out, and its time with it: the clock stays true.
        let ticks = after.timestamp.wrapping_sub(before.timestamp);
        ensure!(ticks % 160 == 0 && (160..=1_600).contains(&ticks), "{ticks} ticks between two packets");
        ensure!(after.ssrc == before.ssrc && after.from == before.from, "the source changed");
        ensure!(after.payload.len() == 160 && after.payload_type == PCMU, "not 20 ms of PCMU");
        let apart = after.at - before.at;
        ensure!(apart < Duration::from_millis(200), "{apart:?} without a packet");
    }
    let count = ear.count();
    std::thread::park_timeout(Duration::from_millis(300));
    ensure!(ear.count() == count, "packets after the BYE");
    ramal.end()?;
    stage.clear()
}
