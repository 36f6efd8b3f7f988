//! How long the server holds a packet before its audio goes up.
use crate::{Measured, Result, call, network::Network, receivers, receivers::Filling, speech};
use media::{Audio, AudioFormat, Law, SampleRate, codec::Codec};
use std::collections::BTreeMap;

/// Samples a mark is spread over: their lowest bits, at the end of a frame, which no cross-fade reaches.
const MARK: usize = 32;

/// PCMU passes untouched, so each packet can carry its number up.
pub(crate) fn measure(network: &Network, seed: u64, measured: &mut Measured) -> Result<()> {
    let spoken = speech::sample(SampleRate::HZ_8000, seed)?;
    let mut payloads = call::payloads(Codec::Pcmu, &spoken.samples)?;
    for (number, payload) in payloads.iter_mut().enumerate() {
        mark(payload, number);
    }
    let arrivals = call::carry(network, payloads.len(), seed);
    let arrived: BTreeMap<usize, _> = arrivals.iter().map(|(at, number)| (*number, *at)).collect();
    let heard = call::uplink(Codec::Pcmu, AudioFormat::G711(Law::Mu), &payloads, &arrivals)?;
    let marked = heard.pieces.iter().filter_map(|(at, audio)| match audio {
        Audio::G711 { bytes, .. } => read(bytes).map(|number| (*at, number)),
        Audio::Pcm(_) => None,
    });
    let before = measured.delays.len();
    measured.delays.extend(marked.filter_map(|(at, number)| Some(at.saturating_sub(*arrived.get(&number)?))));
    measured.packets += payloads.len();
    measured.missing += payloads.len().saturating_sub(measured.delays.len() - before);
    measured.missing_fixed += receivers::buffered(Codec::Pcmu, &payloads, &arrivals, Filling::Zero)?.1;
    Ok(())
}

/// The number twice, the second time inverted.
fn mark(payload: &mut [u8], number: usize) {
    let bits = (number as u32 & 0xffff) | (!(number as u32) << 16);
    let start = payload.len().saturating_sub(MARK);
    for (n, byte) in payload.iter_mut().skip(start).enumerate() {
        *byte = *byte & !1 | (bits >> n & 1) as u8;
    }
}

fn read(bytes: &[u8]) -> Option<usize> {
    let tail = bytes.get(bytes.len().checked_sub(MARK)?..)?;
    let bits = tail.iter().enumerate().fold(0_u32, |bits, (n, byte)| bits | u32::from(byte & 1) << n);
    let (number, inverted) = (bits & 0xffff, bits >> 16);
    (number ^ inverted == 0xffff).then_some(number as usize)
}
