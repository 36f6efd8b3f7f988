//! What callers' lines carry: speech, noises, tones, music. 8 kHz, the same in every run.
use std::{f64::consts::TAU, path::Path};

pub(crate) const PER_MS: usize = 8;
/// Speech of callers and of the assistant, as loud as telephones are expected to be.
pub(crate) const SPEECH_DB: f32 = -22.0;

/// Numbers from a seed, -1 to 1.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f32 / (1 << 23) as f32 - 1.0
    }
}

/// A recording of tests/fixtures/speech, without what is before its first sound, at [`SPEECH_DB`].
pub(crate) fn speech(name: &str) -> Vec<i16> {
    let path = format!("{}/../tests/fixtures/speech/{name}.wav", env!("CARGO_MANIFEST_DIR"));
    at_level(&trimmed(wav(Path::new(&path)).as_deref().unwrap_or_default()), SPEECH_DB)
}

/// The samples of a 16-bit mono file.
pub(crate) fn wav(path: &Path) -> Option<Vec<i16>> {
    let bytes = std::fs::read(path).ok()?;
    let start = bytes.windows(4).position(|window| window == b"data")? + 8;
    Some(bytes.get(start..)?.as_chunks().0.iter().map(|pair| i16::from_le_bytes(*pair)).collect())
}

/// Root mean square of `samples`.
pub(crate) fn rms(samples: &[i16]) -> f32 {
    (samples.iter().map(|sample| f32::from(*sample).powi(2)).sum::<f32>() / samples.len().max(1) as f32).sqrt()
}

/// From the first 5 ms to the last that reach a thirtieth of the strongest (-30 dB).
pub(crate) fn trimmed(samples: &[i16]) -> Vec<i16> {
    let levels: Vec<f32> = samples.chunks(5 * PER_MS).map(rms).collect();
    let audible = levels.iter().copied().fold(0.0, f32::max) / 30.0;
    let first = levels.iter().position(|level| *level > audible).unwrap_or(0);
    let last = levels.iter().rposition(|level| *level > audible).unwrap_or(0);
    samples.iter().take((last + 1) * 5 * PER_MS).skip(first * 5 * PER_MS).copied().collect()
}

/// With its sounding parts at `db` of full scale.
pub(crate) fn at_level(samples: &[i16], db: f32) -> Vec<i16> {
    let levels: Vec<f32> = samples.chunks(10 * PER_MS).map(rms).collect();
    let audible = levels.iter().copied().fold(0.0, f32::max) / 20.0;
    let loud: Vec<f32> = levels.into_iter().filter(|level| *level > audible).map(|level| level * level).collect();
    let level = (loud.iter().sum::<f32>() / loud.len().max(1) as f32).sqrt().max(1.0);
    let gain = 32_768.0 * 10_f32.powf(db / 20.0) / level;
    samples.iter().map(|sample| (f32::from(*sample) * gain) as i16).collect()
}

pub(crate) fn silence(ms: usize) -> Vec<i16> {
    vec![0; ms * PER_MS]
}

/// White noise.
pub(crate) fn noise(db: f32, ms: usize, seed: u64) -> Vec<i16> {
    let mut random = Random::new(seed);
    let peak = 3_f32.sqrt() * 32_768.0 * 10_f32.powf(db / 20.0);
    (0..ms * PER_MS).map(|_| (random.next() * peak) as i16).collect()
}

/// Noise of a street: most of it low.
pub(crate) fn rumble(db: f32, ms: usize, seed: u64) -> Vec<i16> {
    let mut low = 0.0;
    let smooth = |sample: &i16| {
        low += (f32::from(*sample) - low) * 0.2;
        low as i16
    };
    at_level(&noise(-10.0, ms, seed).iter().map(smooth).collect::<Vec<_>>(), db)
}

pub(crate) fn mixed(left: &[i16], right: &[i16]) -> Vec<i16> {
    let at = |samples: &[i16], index: usize| samples.get(index).copied().unwrap_or(0);
    (0..left.len().max(right.len())).map(|index| at(left, index).saturating_add(at(right, index))).collect()
}

fn tones(hz: &[f64], ms: usize) -> Vec<i16> {
    let wave = |n: usize| hz.iter().map(|hz| (TAU * hz * n as f64 / 8_000.0).sin()).sum::<f64>() * 3_500.0;
    (0..ms * PER_MS).map(|n| wave(n) as i16).collect()
}

/// A cough: one to three bursts of breath through a throat, each 90 to 180 ms, sharp at first.
fn cough(seed: u64) -> Vec<i16> {
    let mut random = Random::new(seed);
    let (mut one, mut two) = (0.0_f32, 0.0_f32);
    // A resonance at 500 to 1,100 Hz.
    let hz = 800.0 + 300.0 * random.next();
    let turn = 2.0 * 0.93 * (std::f32::consts::TAU * hz / 8_000.0).cos();
    let mut samples = Vec::new();
    for burst in 0..1 + seed % 3 {
        let length = (135.0 + 45.0 * random.next()) * PER_MS as f32;
        for n in 0..length as usize {
            let fade = (-3.0 * n as f32 / length).exp() * if burst == 0 { 1.0 } else { 0.6 };
            let breath = random.next() * fade * 9_000.0;
            (one, two) = (breath + turn * one - 0.93 * 0.93 * two, one);
            samples.push((one * 0.5 + breath) as i16);
        }
        samples.extend(silence(70));
    }
    at_level(&samples, SPEECH_DB)
}

/// Sounds of a kind.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) sounds: Vec<Vec<i16>>,
}

/// What is not speech. Music is there if `music` holds recordings (8 kHz WAV).
pub(crate) fn no_speech(music: &Path) -> Vec<Kind> {
    let digit = |low, high| [tones(&[low, high], 120), silence(80)].concat();
    let ring_uk = [tones(&[400.0, 450.0], 400), silence(200), tones(&[400.0, 450.0], 400), silence(2_000)].concat();
    let signals = vec![
        [tones(&[425.0], 1_000), silence(4_000)].concat().repeat(2),
        [tones(&[440.0, 480.0], 2_000), silence(4_000)].concat().repeat(2),
        ring_uk.repeat(3),
        [tones(&[425.0], 250), silence(250)].concat().repeat(16),
        [tones(&[480.0, 620.0], 500), silence(500)].concat().repeat(8),
        tones(&[350.0, 440.0], 8_000),
        [digit(697.0, 1_209.0), digit(770.0, 1_336.0), digit(852.0, 1_477.0), digit(941.0, 1_336.0)]
            .concat()
            .repeat(10),
        [tones(&[1_100.0], 500), silence(3_000)].concat().repeat(2),
        tones(&[2_100.0], 4_000),
    ];
    let noises = (1..9).map(|seed| noise(-60.0 + 4.0 * seed as f32, 8_000, seed));
    let streets = (1..9).map(|seed| rumble(-60.0 + 4.0 * seed as f32, 8_000, seed));
    let coughs = (1..41).map(|seed| [silence(600), cough(seed), silence(1_200)].concat()).collect();
    vec![
        Kind { name: "ringback, busy and dial tones, DTMF, fax", sounds: signals },
        Kind { name: "noise, white and of a street, -56 to -28 dB", sounds: noises.chain(streets).collect() },
        Kind { name: "coughs", sounds: coughs },
        Kind { name: "hold music", sounds: pieces(music) },
    ]
}

/// Ten pieces of 8 s of each recording.
fn pieces(folder: &Path) -> Vec<Vec<i16>> {
    let mut files: Vec<_> =
        std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "wav"));
    files.sort();
    let recordings = files.iter().filter_map(|path| wav(path));
    let cut = |samples: Vec<i16>| {
        let step = samples.len().saturating_sub(8_000 * PER_MS) / 10;
        (0..10)
            .map(|n| samples.iter().skip(n * step).take(8_000 * PER_MS).copied().collect())
            .collect::<Vec<Vec<i16>>>()
    };
    recordings.flat_map(cut).map(|piece: Vec<i16>| at_level(&piece, SPEECH_DB)).collect()
}

/// What listeners say without wanting the word, by a synthetic voice: as said, and a fifth faster and slower.
pub(crate) fn backchannels() -> Vec<Vec<i16>> {
    let voice = flite_rs::Engine::new();
    let words = ["uh huh", "mm hmm", "hmm", "yeah", "okay", "right", "a ham", "see", "ok", "sure"];
    let paced = |samples: &[i16], pace: f32| -> Vec<i16> {
        let length = (samples.len() as f32 / pace) as usize;
        (0..length).filter_map(|n| samples.get((n as f32 * pace) as usize).copied()).collect()
    };
    let said = words.iter().map(|word| at_level(&trimmed(&voice.synthesize(word).samples), SPEECH_DB - 4.0));
    let all = said.flat_map(|said| [0.8, 1.0, 1.25].map(|pace| paced(&said, pace)));
    all.map(|word| [silence(600), word, silence(1_200)].concat()).collect()
}
