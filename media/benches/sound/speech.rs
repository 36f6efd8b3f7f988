//! Recorded speech, as much as a score wants.
use crate::Result;
use media::{Frame, SampleRate};
use std::path::{Path, PathBuf};

/// Two recordings each, of a few seconds: people first, then voices of machines.
const NARROW: [[&str; 2]; 4] = [
    ["en-agent-alreadyon", "en-conf-invalid"],
    ["pt-kokoro-dora-0", "pt-kokoro-dora-5"],
    ["en-auth-incorrect", "en-agent-incorrect"],
    ["pt-rhvoice-leticia-0", "en-piper-joe-3"],
];
const WIDE: [[&str; 2]; 2] = [["en-agent-alreadyon", "en-auth-incorrect"], ["en-auth-incorrect", "en-agent-alreadyon"]];

/// Some seconds of speech at this rate; another for the next seed.
pub(crate) fn sample(rate: SampleRate, seed: u64) -> Result<Frame> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures");
    let (folder, all) = match rate {
        SampleRate::HZ_8000 => ("speech", &NARROW[..]),
        _ => ("wideband", &WIDE[..]),
    };
    let chosen = all.iter().cycle().nth(seed as usize % all.len()).into_iter().flatten();
    let mut samples = Vec::new();
    for name in chosen {
        samples.extend(read(&fixtures.join(folder).join(format!("{name}.wav")), rate)?);
    }
    Ok(Frame { rate, samples })
}

fn read(path: &PathBuf, rate: SampleRate) -> Result<Vec<i16>> {
    let mut reader = hound::WavReader::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
    if (reader.spec().sample_rate, reader.spec().channels) != (rate.hz(), 1) {
        return Err(format!("{}: not mono at {} Hz", path.display(), rate.hz()).into());
    }
    Ok(reader.samples::<i16>().collect::<std::result::Result<_, _>>()?)
}
