//! What is compared with: receivers of the usual kinds, and a phone.
use crate::{call::PTIME, judged_at};
use media::{
    codec::{Codec, Decoder, Error},
    conceal::Concealer,
    reorder::{Released, Reorder},
};
use std::time::{Duration, Instant};

/// The delay of a usual fixed jitter buffer.
pub(crate) const FIXED: Duration = Duration::from_millis(60);

/// What stands in the place of a packet that is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filling {
    /// Nothing.
    Zero,
    /// The frame before, again.
    Repeat,
    /// What the server itself does: the codec's concealment, or the pitch repeated.
    Pitch,
}

/// Decodes one stream.
struct Ear {
    decoder: Decoder,
    concealer: Concealer,
    filling: Filling,
    last: Vec<i16>,
    heard: Vec<i16>,
}

impl Ear {
    fn new(codec: Codec, filling: Filling) -> Result<Self, Error> {
        let rate = judged_at(codec);
        let (concealer, last) = (Concealer::new(rate), vec![0; rate.samples_in(PTIME)]);
        Ok(Self { decoder: Decoder::to(codec, rate)?, concealer, filling, last, heard: Vec::new() })
    }

    fn hear(&mut self, payload: &[u8]) -> Result<(), Error> {
        let mut samples = self.decoder.decode(payload)?;
        self.last.clone_from(&samples);
        if self.filling == Filling::Pitch {
            self.concealer.accept(&mut samples);
        }
        self.heard.extend(samples);
        Ok(())
    }

    fn miss(&mut self) {
        let samples = match self.filling {
            Filling::Zero => vec![0; self.last.len()],
            Filling::Repeat => self.last.clone(),
            Filling::Pitch => {
                let own = self.decoder.conceal(PTIME);
                own.unwrap_or_else(|| self.concealer.conceal(self.last.len()))
            }
        };
        self.heard.extend(samples);
    }
}

/// A receiver that waits for gaps as long as the server does and hands on the rest at once.
pub(crate) fn direct(
    codec: Codec,
    payloads: &[Vec<u8>],
    arrivals: &[(Duration, usize)],
    filling: Filling,
) -> Result<Vec<i16>, Error> {
    let start = Instant::now();
    let mut ear = Ear::new(codec, filling)?;
    let mut reorder = Reorder::new(Duration::from_millis(40));
    for (at, index) in arrivals {
        reorder.handle_timeout(start + *at);
        reorder.push(*index as u64 + 1, *index, start + *at);
        hear_all(&mut reorder, &mut ear, payloads)?;
    }
    reorder.flush();
    hear_all(&mut reorder, &mut ear, payloads)?;
    Ok(ear.heard)
}

fn hear_all(reorder: &mut Reorder<usize>, ear: &mut Ear, payloads: &[Vec<u8>]) -> Result<(), Error> {
    while let Some(released) = reorder.poll() {
        match released {
            Released::Lost(packets) => (0..packets).for_each(|_| ear.miss()),
            Released::Packet(index) => ear.hear(payloads.get(index).map_or(&[][..], Vec::as_slice))?,
            Released::Restarted => {}
        }
    }
    Ok(())
}

/// A receiver with a fixed jitter buffer of [`FIXED`], on the clock of the first packet it got. Says also how many
/// packets were missing when they were due.
pub(crate) fn buffered(
    codec: Codec,
    payloads: &[Vec<u8>],
    arrivals: &[(Duration, usize)],
    filling: Filling,
) -> Result<(Vec<i16>, usize), Error> {
    let mut ear = Ear::new(codec, filling)?;
    let mut came: Vec<Option<Duration>> = vec![None; payloads.len()];
    for (at, index) in arrivals {
        if let Some(slot) = came.get_mut(*index) {
            *slot = Some(*at);
        }
    }
    let base = arrivals.first().map_or(Duration::ZERO, |(at, index)| at.saturating_sub(PTIME * *index as u32));
    let mut missing = 0;
    for (index, payload) in payloads.iter().enumerate() {
        let due = base + FIXED + PTIME * index as u32;
        if came.get(index).copied().flatten().is_some_and(|at| at <= due) {
            ear.hear(payload)?;
        } else {
            missing += 1;
            ear.miss();
        }
    }
    Ok((ear.heard, missing))
}
