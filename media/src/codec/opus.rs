//! Opus (RFC 6716) as phones speak it: mono, super-wideband (to 12 kHz), tuned for voice, with in-band repair of lost
//! packets. A peer that plays less is sent less.
mod packet;

use super::{Codec, Error};
use crate::audio::SampleRate;
use audiopus::{Application, Bandwidth, Bitrate, Channels, Signal, coder};
use packet::NOTHING;
pub(crate) use packet::{is_without_voice, says_nothing};
use std::time::Duration;

/// Wideband speech is transparent here (RFC 7587 §3.1.1 gives 16 to 20 kbit/s as enough, and loss repair takes a part).
const WIDEBAND_BITRATE: i32 = 24_000;
/// With repair data, which takes its part of the bits: with less, what is repaired is much coarser than what arrives.
const WIDEBAND_REPAIRING_BITRATE: i32 = 40_000;
/// Super-wideband lies between that and the 28 to 40 kbit/s of RFC 7587 §3.1.1 for fullband. libopus gives a quarter of
/// it to what is above 8 kHz: what is below has nearly as much as in wideband, with repair data and without.
const BITRATE: i32 = 32_000;
/// As above.
const REPAIRING_BITRATE: i32 = 48_000;
/// Of 10: the knee of quality over time.
const COMPLEXITY: u8 = 5;
/// What the encoder prepares for when it decides how much repair data to carry.
const EXPECTED_LOSS_PERCENT: u8 = 10;
/// RFC 6716 §3.4: no packet lasts longer.
const LONGEST_PACKET: Duration = Duration::from_millis(120);
/// RFC 6716 §3.4: the most bytes one frame can have.
const LONGEST_FRAME_BYTES: usize = 1_275;
const RATE: SampleRate = Codec::Opus.sample_rate();
/// RFC 6716 §2.1.1: the range of bit rates.
const BITRATES: std::ops::RangeInclusive<i32> = 6_000..=510_000;

/// What the peer's decoder wants, from its `a=fmtp` (RFC 7587 §6.1); by default, what the absence of each means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Receiver {
    /// `maxplaybackrate`, Hz: what is sampled faster is wasted on it.
    pub playback_rate: u32,
    /// `maxaveragebitrate`, bit/s.
    pub bit_rate: Option<i32>,
    /// `useinbandfec`: it repairs lost packets by what the next one carries of them.
    pub repairs: bool,
    /// `usedtx`: it would rather have no packets than silence.
    pub skips_silence: bool,
    /// `cbr`: constant bit rate only.
    pub constant: bool,
}

impl Default for Receiver {
    fn default() -> Self {
        Self { playback_rate: 48_000, bit_rate: None, repairs: false, skips_silence: false, constant: false }
    }
}

impl Receiver {
    /// Reads the parameters of an `a=fmtp`, `name=value` between semicolons. What cannot be read is as if absent, and
    /// what is unknown is passed over (RFC 7587 §7).
    pub fn parse(parameters: &str) -> Self {
        let mut receiver = Self::default();
        for (name, value) in parameters.split(';').filter_map(|parameter| parameter.split_once('=')) {
            let value = value.trim();
            match name.trim().to_ascii_lowercase().as_str() {
                "maxplaybackrate" => receiver.playback_rate = value.parse().unwrap_or(receiver.playback_rate),
                "maxaveragebitrate" => receiver.bit_rate = value.parse().ok().filter(|rate| *rate > 0),
                "useinbandfec" => receiver.repairs = value == "1",
                "usedtx" => receiver.skips_silence = value == "1",
                "cbr" => receiver.constant = value == "1",
                _ => {}
            }
        }
        receiver
    }

    /// RFC 6716 §2, table 1: the widest that it plays all of, and that we have.
    fn bandwidth(&self) -> Bandwidth {
        match self.playback_rate {
            ..12_000 => Bandwidth::Narrowband,
            12_000..16_000 => Bandwidth::Mediumband,
            16_000..24_000 => Bandwidth::Wideband,
            24_000.. => Bandwidth::Superwideband,
        }
    }

    /// Bits a second for speech of that bandwidth, but no more than it wants.
    fn speech_rate(&self) -> i32 {
        let wanted = match (self.bandwidth(), self.repairs) {
            (Bandwidth::Superwideband, false) => BITRATE,
            (Bandwidth::Superwideband, true) => REPAIRING_BITRATE,
            (_, false) => WIDEBAND_BITRATE,
            (_, true) => WIDEBAND_REPAIRING_BITRATE,
        };
        let most = self.bit_rate.map_or(i32::MAX, |most| most.clamp(*BITRATES.start(), *BITRATES.end()));
        wanted.min(most)
    }
}

/// Which audio of a packet is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Itself,
    Before,
}

/// RFC 6716 §4: a decoder gives PCM at any of these rates, whatever the encoder was given.
fn output(rate: SampleRate) -> Option<audiopus::SampleRate> {
    match rate.hz() {
        8_000 => Some(audiopus::SampleRate::Hz8000),
        12_000 => Some(audiopus::SampleRate::Hz12000),
        16_000 => Some(audiopus::SampleRate::Hz16000),
        24_000 => Some(audiopus::SampleRate::Hz24000),
        48_000 => Some(audiopus::SampleRate::Hz48000),
        _ => None,
    }
}

/// The rate to decode at for somebody who wants this one: the same, if Opus has it.
pub(super) fn decoded_at(wanted: SampleRate) -> SampleRate {
    if output(wanted).is_some() { wanted } else { RATE }
}

/// Opus packets to PCM.
#[derive(Debug)]
pub struct Decoder {
    decoder: coder::Decoder,
    rate: SampleRate,
}

impl Decoder {
    /// To PCM at [`decoded_at`] this rate.
    pub(super) fn new(wanted: SampleRate) -> Result<Self, Error> {
        let rate = decoded_at(wanted);
        let decoder = coder::Decoder::new(output(rate).unwrap_or(audiopus::SampleRate::Hz24000), Channels::Mono)?;
        Ok(Self { decoder, rate })
    }

    pub(super) fn decode(&mut self, payload: &[u8]) -> Result<Vec<i16>, Error> {
        self.fill(Some(payload), LONGEST_PACKET, Wanted::Itself)
    }

    pub(super) fn conceal(&mut self, lost: Duration) -> Result<Vec<i16>, Error> {
        self.fill(None, lost.min(LONGEST_PACKET), Wanted::Itself)
    }

    /// The audio before a packet, by the repair data in it (RFC 6716 §2.1.7), or extrapolated if it has none.
    pub(super) fn repair(&mut self, next: &[u8], lost: Duration) -> Result<Vec<i16>, Error> {
        self.fill(Some(next), lost.min(LONGEST_PACKET), Wanted::Before)
    }

    fn fill(&mut self, payload: Option<&[u8]>, room: Duration, wanted: Wanted) -> Result<Vec<i16>, Error> {
        let packet = payload.map(TryInto::try_into).transpose()?;
        let mut samples = vec![0; self.rate.samples_in(room)];
        let written = self.decoder.decode(packet, samples.as_mut_slice().try_into()?, wanted == Wanted::Before)?;
        samples.truncate(written);
        Ok(samples)
    }
}

/// PCM at [`Codec::sample_rate`] to Opus packets.
#[derive(Debug)]
pub struct Encoder {
    encoder: coder::Encoder,
    /// Nothing was encoded yet.
    begins: bool,
}

impl Encoder {
    /// For a decoder that wants it so. What that heard of another encoder before is nothing to the first packet of this
    /// one: the loudness of CELT's bands is else told by how it differs from the packet before.
    pub(super) fn new(receiver: Receiver) -> Result<Self, Error> {
        let mut encoder = coder::Encoder::new(audiopus::SampleRate::Hz24000, Channels::Mono, Application::Voip)?;
        encoder.set_bitrate(Bitrate::BitsPerSecond(receiver.speech_rate()))?;
        encoder.set_max_bandwidth(receiver.bandwidth())?;
        encoder.set_vbr(!receiver.constant)?;
        encoder.set_dtx(receiver.skips_silence)?;
        encoder.set_complexity(COMPLEXITY)?;
        encoder.set_signal(Signal::Voice)?;
        if receiver.repairs {
            encoder.enable_inband_fec()?;
            encoder.set_packet_loss_perc(EXPECTED_LOSS_PERCENT)?;
        }
        encoder.set_prediction_disabled(true)?;
        Ok(Self { encoder, begins: true })
    }

    pub(super) fn encode(&mut self, samples: &[i16]) -> Result<Vec<u8>, Error> {
        let mut payload = vec![0; LONGEST_FRAME_BYTES];
        let written = self.encoder.encode(samples, &mut payload)?;
        if std::mem::take(&mut self.begins) {
            self.encoder.set_prediction_disabled(false)?;
        }
        payload.truncate(written);
        if written <= NOTHING {
            payload.clear();
        }
        Ok(payload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resample::Resampler;
    use std::f64::consts::TAU;

    /// Samples of a packet of 20 ms.
    const FRAME: usize = 480;
    const SECOND: usize = 24_000;

    fn tone(samples: usize) -> Vec<i16> {
        wave(440.0, samples)
    }

    fn wave(hz: f64, samples: usize) -> Vec<i16> {
        (0..samples).map(|n| (8_000.0 * (TAU * hz * n as f64 / f64::from(RATE.hz())).sin()) as i16).collect()
    }

    fn amplitude(samples: &[i16], hz: f64) -> f64 {
        let (mut re, mut im) = (0.0, 0.0);
        for (n, sample) in samples.iter().enumerate() {
            let angle = TAU * hz * n as f64 / f64::from(RATE.hz());
            re += f64::from(*sample) * angle.cos();
            im += f64::from(*sample) * angle.sin();
        }
        2.0 * re.hypot(im) / samples.len() as f64
    }

    /// Share of the power of `samples` that is at 440 Hz.
    fn purity(samples: &[i16]) -> f64 {
        let power: f64 = samples.iter().map(|sample| f64::from(*sample).powi(2)).sum();
        amplitude(samples, 440.0).powi(2) * samples.len() as f64 / (2.0 * power)
    }

    #[test]
    fn a_second_comes_back_as_a_second_of_the_same() {
        for ms in [10, 20, 40, 60] {
            let (mut encoder, mut decoder) = (Encoder::new(Receiver::default()).unwrap(), Decoder::new(RATE).unwrap());
            let frame = RATE.samples_in(Duration::from_millis(ms));
            let mut output = Vec::new();
            for input in tone(frame * 60).chunks(frame) {
                let payload = encoder.encode(input).unwrap();
                let samples = decoder.decode(&payload).unwrap();
                assert_eq!(samples.len(), frame);
                output.extend(samples);
            }
            assert!(purity(&output[2_000..]) > 0.95, "{ms} ms: {}", purity(&output[2_000..]));
        }
    }

    #[test]
    fn a_decoder_gives_the_rate_that_is_wanted_and_the_same_sound() {
        for hz in [8_000, 12_000, 16_000, 24_000, 48_000] {
            let rate = SampleRate::new(hz).unwrap();
            let (mut encoder, mut decoder) = (Encoder::new(Receiver::default()).unwrap(), Decoder::new(rate).unwrap());
            assert_eq!(decoded_at(rate), rate);
            let mut output = Vec::new();
            for input in tone(SECOND).chunks(FRAME) {
                output.extend(decoder.decode(&encoder.encode(input).unwrap()).unwrap());
            }
            assert_eq!(output.len(), hz as usize);
            let period = f64::from(hz) / 440.0;
            let crossings = output[hz as usize / 2..].windows(2).filter(|pair| pair[0] < 0 && pair[1] >= 0).count();
            let expected = f64::from(hz) / 2.0 / period;
            assert!((crossings as f64 - expected).abs() <= 1.0, "{hz} Hz: {crossings} periods in half a second");
            assert_eq!(decoder.conceal(Duration::from_millis(20)).unwrap().len(), hz as usize / 50);
        }
        assert_eq!(decoded_at(SampleRate::new(22_050).unwrap()), RATE);
    }

    /// RFC 7587 §6.1, `maxplaybackrate`: who plays 12 kHz hears 10, and nobody is sent what would be wasted on them.
    #[test]
    fn a_peer_is_sent_the_band_that_it_plays() {
        let heard = |playback_rate| {
            let receiver = Receiver { playback_rate, ..Receiver::default() };
            let (mut encoder, mut decoder) = (Encoder::new(receiver).unwrap(), Decoder::new(RATE).unwrap());
            let said = wave(10_000.0, 2 * SECOND);
            let packets = said.chunks(FRAME).map(|frame| encoder.encode(frame).unwrap());
            let heard: Vec<i16> = packets.flat_map(|packet| decoder.decode(&packet).unwrap()).collect();
            amplitude(&heard[SECOND..], 10_000.0)
        };
        for playback_rate in [24_000, 44_100, 48_000] {
            assert!(heard(playback_rate) > 3_000.0, "{playback_rate}: {}", heard(playback_rate));
        }
        for playback_rate in [8_000, 12_000, 16_000, 22_050] {
            assert!(heard(playback_rate) < 200.0, "{playback_rate}: {}", heard(playback_rate));
        }
    }

    /// As prompts are heard, and whoever is renegotiated with: the decoder goes on, the encoder is another. In the band
    /// above 8 kHz packets tell how they differ from the one before.
    #[test]
    fn another_encoder_is_heard_as_it_means_from_its_second_packet_on() {
        let said = wave(10_000.0, 4 * FRAME);
        let mut encoder = Encoder::new(Receiver::default()).unwrap();
        let packets: Vec<_> = said.chunks(FRAME).map(|frame| encoder.encode(frame).unwrap()).collect();
        let heard = |before: &[i16]| {
            let (mut other, mut decoder) = (Encoder::new(Receiver::default()).unwrap(), Decoder::new(RATE).unwrap());
            for frame in before.chunks(FRAME) {
                decoder.decode(&other.encode(frame).unwrap()).unwrap();
            }
            let heard: Vec<i16> = packets.iter().flat_map(|packet| decoder.decode(packet).unwrap()).collect();
            amplitude(&heard[FRAME..], 10_000.0)
        };
        let alone = heard(&[]);
        assert!(alone > 2_000.0, "{alone}");
        for before in [vec![0; 20 * FRAME], wave(9_000.0, 20 * FRAME)] {
            let behind = heard(&before);
            assert!((0.9..1.1).contains(&(behind / alone)), "{behind}, not {alone}");
        }
    }

    #[test]
    fn twenty_milliseconds_take_about_their_share_of_the_bit_rate() {
        let mut encoder = Encoder::new(Receiver::default()).unwrap();
        let bytes: usize = tone(SECOND).chunks(FRAME).map(|frame| encoder.encode(frame).unwrap().len()).sum();
        assert!((1_000..=6_000).contains(&bytes), "{bytes} bytes in a second at {BITRATE} bit/s");
    }

    #[test]
    fn a_packet_tells_whether_there_is_a_voice_in_it() {
        // Super-wideband is hybrid: of 40 and 60 ms it has frames of 20 ms in one packet.
        for (playback_rate, ms) in [16_000, 24_000].into_iter().flat_map(|rate| [10, 20, 40, 60].map(|ms| (rate, ms))) {
            let mut encoder = Encoder::new(Receiver { playback_rate, ..Receiver::default() }).unwrap();
            let input = [tone(SECOND / 5), vec![0; SECOND]].concat();
            let packets = input.chunks_exact(RATE.samples_in(Duration::from_millis(ms)));
            let packets: Vec<Vec<u8>> = packets.map(|frame| encoder.encode(frame).unwrap()).collect();
            let is_hybrid = packets.iter().all(|packet| (12..16).contains(&(packet[0] >> 3)));
            assert_eq!(is_hybrid, playback_rate == 24_000, "{playback_rate} {ms} ms");
            let voiced: Vec<bool> = packets.iter().map(|packet| !is_without_voice(packet)).collect();
            let spoken = 180 / ms as usize;
            assert!(voiced[..spoken].iter().all(|voiced| *voiced), "{playback_rate} {ms} ms: {voiced:?}");
            assert!(!voiced[2 * spoken..].contains(&true), "{playback_rate} {ms} ms: {voiced:?}");
        }
    }

    #[test]
    fn other_frame_lengths_are_errors() {
        let mut encoder = Encoder::new(Receiver::default()).unwrap();
        for length in [0, 1, 320, 479, 481, 4_000] {
            assert!(encoder.encode(&vec![0; length]).is_err(), "{length}");
        }
    }

    #[test]
    fn a_lost_packet_is_made_up_for() {
        let (mut encoder, mut decoder) = (Encoder::new(Receiver::default()).unwrap(), Decoder::new(RATE).unwrap());
        for frame in tone(SECOND).chunks(FRAME) {
            decoder.decode(&encoder.encode(frame).unwrap()).unwrap();
        }
        let made_up = decoder.conceal(Duration::from_millis(20)).unwrap();
        assert_eq!(made_up.len(), FRAME);
        let loud = made_up.iter().filter(|sample| sample.unsigned_abs() > 1_000).count();
        assert!(loud > 90, "what was to be heard goes on, not silence: {made_up:?}");
    }

    #[test]
    fn broken_packets_are_errors_or_noise() {
        let (mut encoder, mut decoder) = (Encoder::new(Receiver::default()).unwrap(), Decoder::new(RATE).unwrap());
        let payload = encoder.encode(&tone(FRAME)).unwrap();
        assert!(decoder.decode(&[]).is_err());
        let mut state = 1_u32;
        for _ in 0..5_000 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let mut broken = payload.clone();
            let at = (state >> 8) as usize % broken.len();
            broken[at] = (state >> 24) as u8;
            broken.truncate(1 + (state >> 4) as usize % broken.len());
            if let Ok(samples) = decoder.decode(&broken) {
                assert!(samples.len() <= RATE.samples_in(LONGEST_PACKET));
            }
        }
    }

    /// RFC 7587 §6.1.
    #[test]
    fn what_the_peer_wants_is_read_and_the_rest_passed_over() {
        let base = Receiver::default();
        let freeswitch = "useinbandfec=1; maxaveragebitrate=30000; maxplaybackrate=8000; ptime=20; minptime=10";
        let cases = [
            ("", base),
            (freeswitch, Receiver { repairs: true, bit_rate: Some(30_000), playback_rate: 8_000, ..base }),
            ("usedtx=1;CBR=1", Receiver { skips_silence: true, constant: true, ..base }),
            ("useinbandfec=0;usedtx=yes;cbr;maxplaybackrate=;maxaveragebitrate=-5;stereo=1", base),
        ];
        for (parameters, expected) in cases {
            assert_eq!(Receiver::parse(parameters), expected, "{parameters}");
        }
    }

    #[test]
    fn the_peers_limits_are_kept() {
        let bytes = |receiver| -> usize {
            let mut encoder = Encoder::new(receiver).unwrap();
            tone(SECOND).chunks(FRAME).map(|frame| encoder.encode(frame).unwrap().len()).sum()
        };
        let low = bytes(Receiver { bit_rate: Some(8_000), ..Receiver::default() });
        assert!(low < 1_400, "{low} bytes in a second at 8 kbit/s");
        // A narrower band is worth no more bits than before.
        for (playback_rate, repairs, expected) in [
            (8_000, false, 60),
            (16_000, false, 60),
            (16_000, true, 100),
            (24_000, false, 80),
            (48_000, false, 80),
            (48_000, true, 120),
        ] {
            let constant = Receiver { constant: true, playback_rate, repairs, ..Receiver::default() };
            let mut encoder = Encoder::new(constant).unwrap();
            let lengths: Vec<usize> =
                tone(SECOND).chunks(FRAME).map(|frame| encoder.encode(frame).unwrap().len()).collect();
            assert_eq!(lengths, [expected; 50], "{playback_rate} {repairs}");
        }
    }

    /// Of silence, a peer with DTX gets a packet every 400 ms.
    #[test]
    fn silence_is_skipped_for_those_who_want_it() {
        for (skips_silence, most) in [(true, 30), (false, 100)] {
            let mut encoder = Encoder::new(Receiver { skips_silence, ..Receiver::default() }).unwrap();
            let sent = (0..100).filter(|_| !encoder.encode(&[0; FRAME]).unwrap().is_empty()).count();
            assert!(sent <= most && (skips_silence || sent == 100), "{sent}");
        }
    }

    /// A voice-like sound whose pitch moves, so that going on as before is wrong.
    fn glide(samples: usize) -> Vec<i16> {
        let mut phase = 0.0;
        let wave = |n: usize| {
            phase += TAU * (150.0 + 90.0 * (TAU * n as f64 / 6_000.0).sin()) / f64::from(RATE.hz());
            ((1..8).map(|k| (phase * f64::from(k)).sin() / f64::from(k)).sum::<f64>() * 6_000.0) as i16
        };
        (0..samples).map(wave).collect()
    }

    /// What is repaired is about as good as what arrives: the bit rate has room for both.
    #[test]
    fn speech_is_hardly_worse_where_it_is_repaired() {
        let receiver = Receiver { repairs: true, ..Receiver::default() };
        let (mut voiced, mut carrying, mut signal, mut noise, mut repaired) = (0, 0, 0.0, 0.0, 0.0);
        let distance = |made: &[i16], said: &[i16]| -> f64 {
            made.iter().zip(said).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum()
        };
        for (_, narrow) in crate::testing::speech().into_iter().take(6) {
            let said = Resampler::new(SampleRate::HZ_8000, RATE).unwrap().process(&narrow);
            let mut encoder = Encoder::new(receiver).unwrap();
            let packets: Vec<_> = said.chunks_exact(FRAME).map(|frame| encoder.encode(frame).unwrap()).collect();
            // The encoder is 6.5 ms behind.
            let said = [&[0; 156], said.as_slice()].concat();
            let (mut whole, mut broken) = (Decoder::new(RATE).unwrap(), Decoder::new(RATE).unwrap());
            for (n, (pair, said)) in packets.windows(2).zip(said.chunks(FRAME)).enumerate() {
                // RFC 6716 §4.2.3: whether it is voice, and whether it repairs the one before.
                let [voice, repairs] = [0x80, 0x40].map(|flag| pair[0][1] & flag != 0);
                voiced += u32::from(voice);
                carrying += u32::from(voice && repairs);
                let arrived = whole.decode(&pair[0]).unwrap();
                if n % 5 != 3 {
                    broken.decode(&pair[0]).unwrap();
                    continue;
                }
                signal += distance(said, &[0; FRAME]);
                noise += distance(&arrived, said);
                repaired += distance(&broken.repair(&pair[1], Duration::from_millis(20)).unwrap(), said);
            }
        }
        assert!(carrying * 10 > voiced * 9, "{carrying} of {voiced} packets of voice");
        let decibels = |noise: f64| 10.0 * (signal / noise).log10();
        let (arrived, repaired) = (decibels(noise), decibels(repaired));
        assert!(repaired > arrived - 1.0, "{repaired:.1} dB above the noise, not {arrived:.1}");
    }

    #[test]
    fn a_lost_packet_comes_back_from_the_next() {
        let receiver = Receiver { repairs: true, ..Receiver::default() };
        let mut encoder = Encoder::new(receiver).unwrap();
        let packets: Vec<Vec<u8>> =
            glide(2 * SECOND).chunks(FRAME).map(|frame| encoder.encode(frame).unwrap()).collect();
        let (mut whole, mut broken) = (Decoder::new(RATE).unwrap(), Decoder::new(RATE).unwrap());
        let (mut repaired, mut extrapolated) = (0.0, 0.0);
        for (n, packet) in packets.iter().enumerate() {
            let truth = whole.decode(packet).unwrap();
            if n < 10 || n % 7 != 3 {
                broken.decode(packet).unwrap();
                continue;
            }
            let Some(next) = packets.get(n + 1) else { break };
            // Two decoders with the same past: one repairs, the other extrapolates.
            let mut other = Decoder::new(RATE).unwrap();
            for (m, earlier) in packets.iter().enumerate().take(n) {
                if m < 10 || m % 7 != 3 {
                    other.decode(earlier).unwrap()
                } else {
                    other.conceal(Duration::from_millis(20)).unwrap()
                };
            }
            let error = |made: &[i16]| -> f64 {
                made.iter().zip(&truth).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum()
            };
            repaired += error(&broken.repair(next, Duration::from_millis(20)).unwrap());
            extrapolated += error(&other.conceal(Duration::from_millis(20)).unwrap());
        }
        assert!(repaired < extrapolated / 2.0, "{repaired} and {extrapolated}");
    }
}
