//! `make bench-srtp`: what protecting one packet costs, and laying it bare, in microseconds of one core.
#![expect(clippy::disallowed_methods, clippy::panic, reason = "a program that measures time")]
use media::{
    rtp,
    srtp::{Master, Receiver, Sender, Suite},
};
use std::{
    hint::black_box,
    time::{Duration, Instant},
};

/// 20 ms of G.711.
const PAYLOAD: [u8; 160] = [0x55; 160];
/// What either may take, in microseconds.
const TARGET_US: f64 = 0.6;
/// Packets of one measurement: a clock reads no single one of them.
const BATCH: u32 = 1_000;
const BATCHES: u32 = 200;
const WARM_UP: u32 = 20;

fn main() {
    println!("{:<26} {:>10} {:>10} {:>10} {:>10}   µs a packet of 172 bytes", "", "protect", "p99", "unprotect", "p99");
    let slowest = Suite::ALL.into_iter().map(measure).fold(0.0, f64::max);
    let verdict = if slowest <= TARGET_US { "met" } else { "missed" };
    println!("target: {TARGET_US} µs each way (median of batches of {BATCH}): {verdict}");
}

/// The slower way of a suite, in microseconds.
fn measure(suite: Suite) -> f64 {
    let Some(master) = Master::new(suite, &vec![7; suite.master_length()]) else { panic!("{suite:?}") };
    let (mut sender, mut receiver) = (Sender::new(&master), Receiver::new(&master));
    let mut stream = rtp::Sender::new(7);
    let (mut protecting, mut unprotecting) = (Vec::new(), Vec::new());
    for n in 0..WARM_UP + BATCHES {
        let packet = |n: u32| stream.packetize(0, false, n * 160, &PAYLOAD);
        let mut packets: Vec<Vec<u8>> = (n * BATCH..(n + 1) * BATCH).map(packet).collect();
        // Room for the tag, as it is in the buffer of a packet that is printed.
        packets.iter_mut().for_each(|packet| packet.reserve(16));
        let start = Instant::now();
        let sealed = packets.iter_mut().all(|packet| sender.protect_rtp(black_box(packet)).is_ok());
        let between = Instant::now();
        let opened = packets.iter_mut().all(|packet| receiver.unprotect_rtp(black_box(packet)).is_ok());
        let end = Instant::now();
        assert!(sealed && opened && packets.iter().all(|packet| packet.len() == 172));
        if n >= WARM_UP {
            protecting.push(between - start);
            unprotecting.push(end - between);
        }
    }
    let (protect, unprotect) = (percentiles(protecting), percentiles(unprotecting));
    println!(
        "{:<26} {:>10.3} {:>10.3} {:>10.3} {:>10.3}",
        suite.name(),
        protect.0,
        protect.1,
        unprotect.0,
        unprotect.1
    );
    protect.0.max(unprotect.0)
}

/// Median and 99th percentile, in microseconds a packet.
fn percentiles(mut batches: Vec<Duration>) -> (f64, f64) {
    batches.sort();
    let at = |percent: usize| {
        let batch = batches.get(batches.len() * percent / 100).copied().unwrap_or_default();
        batch.as_secs_f64() * 1e6 / f64::from(BATCH)
    };
    (at(50), at(99))
}
