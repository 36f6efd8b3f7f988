//! Where time, sockets, threads and tasks enter. Nothing here decides anything: cores do.
#![allow(clippy::disallowed_methods, reason = "drivers are where time and tasks enter")]
pub mod admission;
mod api_socket;
pub mod archive;
mod aside;
mod bell;
pub mod breakers;
mod call_log;
pub mod call_task;
pub mod control;
pub mod dns;
pub mod entrance;
mod entries;
pub mod facts;
pub mod gate;
pub mod hep_socket;
mod house;
pub mod https;
pub mod inbox;
pub mod leases;
pub mod library;
pub mod media_board;
pub mod media_threads;
mod meter;
pub mod names;
pub mod next_connection;
pub mod orders;
pub mod own_calls;
mod paced;
pub mod phone_task;
pub mod receipts;
pub mod recorder;
pub mod registrars;
mod rehearsal;
pub mod requests;
pub mod rtp_socket;
pub mod server;
pub mod signed_url;
pub mod sip_socket;
pub mod spares;
pub mod switchboard;
pub mod takeover;
pub mod tap;
pub mod till;
mod trials;
pub(crate) mod trust;
pub mod ws_client;

use std::{
    pin::Pin,
    time::{Duration, Instant},
};

/// A timer that is set anew only when the deadline moved: most wake-ups of a call leave it where it is.
pub(crate) struct Alarm {
    sleep: Pin<Box<tokio::time::Sleep>>,
    set: Option<Instant>,
}

impl Alarm {
    /// Not set.
    pub(crate) fn new() -> Self {
        Self { sleep: Box::pin(tokio::time::sleep(Duration::ZERO)), set: None }
    }

    /// Sleeps until a core's deadline; for ever when it has none.
    pub(crate) async fn ring(&mut self, deadline: Option<(Instant, &'static str)>) {
        let Some((at, _)) = deadline else { return std::future::pending().await };
        if self.set != Some(at) {
            self.sleep.as_mut().reset(at.into());
            self.set = Some(at);
        }
        self.sleep.as_mut().await;
        self.set = None;
    }
}

/// A seed for one core. This, [`ice_secret`] and [`srtp_secret`] are all the randomness of the process that is not itself
/// seeded.
pub(crate) fn seed() -> u64 {
    // In each half some bits are those of every UUID (RFC 9562 §5.4); the other half is random where they are.
    let (one, other) = uuid::Uuid::new_v4().as_u64_pair();
    one ^ other
}

/// What one call's ICE credentials are made of.
pub(crate) fn ice_secret() -> media::ice::Secret {
    media::ice::Secret::new(unguessable())
}

/// What the SRTP keys of one call are made of.
pub(crate) fn srtp_secret() -> media::srtp::Secret {
    media::srtp::Secret::new(unguessable())
}

/// What nobody may guess, so not from a seed: 244 bits of the system's generator.
fn unguessable() -> [u8; 32] {
    let mut random = [0; 32];
    let (one, two) = random.split_at_mut(16);
    one.copy_from_slice(uuid::Uuid::new_v4().as_bytes());
    two.copy_from_slice(uuid::Uuid::new_v4().as_bytes());
    random
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The ports of a call are drawn by the lowest: one that never changes halves the choice.
    #[test]
    fn every_bit_of_a_seed_is_random() {
        let seeds: Vec<u64> = (0..200).map(|_| seed()).collect();
        let ones = seeds.iter().fold(0_u64, |ones, seed| ones | seed);
        let zeros = seeds.iter().fold(0_u64, |zeros, seed| zeros | !seed);
        assert_eq!((ones, zeros), (u64::MAX, u64::MAX));
    }
}
