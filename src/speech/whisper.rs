//! Whisper (whisper.cpp's tiny multilingual model) as the recogniser.
//!
//! Timestamps stay on, tokens are limited, the segment is single and temperature is not raised: with a trimmed audio
//! context the decoder otherwise loops ("… ×20") for seconds. What loops all the same is cut by
//! [`providers::local::clean`].
use super::{Error, Part};
use crate::models::{catalogue, digest};
use media::{Frame, SampleRate, resample::Resampler};
use std::{fmt, fs, path::Path, thread};
use whisper_rs::{FullParams, SamplingStrategy, WhisperContext, WhisperContextParameters, WhisperState};

/// The model, below the models folder.
const MODEL: &str = "stt/ggml-tiny.bin";
/// Encoder positions per second of audio.
const POSITIONS_PER_SECOND: f32 = 50.0;
/// Positions beyond the end of the speech, and the fewest that recognise well.
const POSITIONS_MARGIN: f32 = 64.0;
const FEWEST_POSITIONS: f32 = 256.0;
/// The encoder's length: 30 s.
const MOST_POSITIONS: f32 = 1_500.0;
/// Nobody says more: beyond this the decoder is talking to itself.
const TOKENS_PER_SECOND: f32 = 8.0;
const TOKENS_AT_LEAST: f32 = 16.0;
/// Mean logarithm of the tokens' probabilities. Telephone speech that is heard right has −0.3 to −0.7, garbled speech and
/// silence −2 and less (measured on the recordings in tests/fixtures/speech).
const LEAST_CERTAINTY: f32 = -1.3;
/// Shorter audio is padded with silence: the model was trained on longer.
const SHORTEST: usize = 20_000;
/// More threads than this gain nothing for one sentence.
const USEFUL_THREADS: usize = 4;

/// A loaded model; each worker listens with a [`Listener`] of its own.
pub(super) struct Recogniser {
    context: WhisperContext,
    part: Part,
}

impl fmt::Debug for Recogniser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.part.fmt(f)
    }
}

impl Recogniser {
    /// Loads the model if it is there.
    ///
    /// # Errors
    /// The file is not the pinned one, or not a model.
    pub(super) fn find(models_dir: &Path) -> Result<Option<Self>, Error> {
        let path = models_dir.join(MODEL);
        if !path.is_file() {
            return Ok(None);
        }
        let failed = |reason| Error::Program { program: path.display().to_string(), reason };
        let hash = digest::of_file(&path).map_err(failed)?;
        if catalogue::pin(MODEL) != Some(hash.as_str()) {
            return Err(failed(std::io::Error::other("its SHA-256 is not the pinned one; fetch it again")));
        }
        // Its log goes nowhere: no log backend is compiled in.
        whisper_rs::install_logging_hooks();
        let context = WhisperContext::new_with_params(&path, WhisperContextParameters::default())?;
        Ok(Some(Self { context, part: Part { name: "Whisper tiny".into(), sha256: Some(hash) } }))
    }

    pub(super) fn part(&self) -> Part {
        self.part.clone()
    }

    /// Working memory for one transcription at a time.
    ///
    /// # Errors
    /// No memory.
    pub(super) fn listener(&self) -> Result<Listener, Error> {
        Ok(Listener { state: self.context.create_state()? })
    }
}

/// How many threads a transcription may have: one, and one for each core that is idle at this moment.
///
/// The model's threads wait for each other by spinning, so on a busy machine a second one makes it several times slower.
pub(super) fn idle_threads() -> usize {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    // "0.20 0.18 0.12 1/80 11206": the fourth field counts what runs now, ourselves included (proc(5)).
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let running = load.split([' ', '/']).nth(3).and_then(|running| running.parse().ok());
    let others = running.map_or(cores, |running: usize| running.saturating_sub(1));
    cores.saturating_sub(others).clamp(1, USEFUL_THREADS)
}

/// Working memory of one worker.
pub(super) struct Listener {
    state: WhisperState,
}

impl Listener {
    /// The words of one caller turn of up to 30 s, cleaned; empty when there are none.
    ///
    /// # Errors
    /// The model refused the audio.
    pub(super) fn transcribe(&mut self, speech: &Frame, language: &str, threads: usize) -> Result<String, Error> {
        let samples = widen(speech)?;
        let code = language.split(['-', '_']).next().unwrap_or("en").to_ascii_lowercase();
        let seconds = SampleRate::HZ_16000.duration_of(samples.len()).as_secs_f32();
        let positions = (seconds * POSITIONS_PER_SECOND + POSITIONS_MARGIN).clamp(FEWEST_POSITIONS, MOST_POSITIONS);
        let most_tokens = (seconds * TOKENS_PER_SECOND + TOKENS_AT_LEAST) as i32;
        let mut params = FullParams::new(SamplingStrategy::Greedy { best_of: 1 });
        params.set_language(Some(&code));
        params.set_n_threads(i32::try_from(threads).unwrap_or(1));
        params.set_audio_ctx(positions.ceil() as i32);
        params.set_max_tokens(most_tokens);
        params.set_single_segment(true);
        params.set_no_context(true);
        params.set_temperature_inc(0.0);
        params.set_suppress_nst(true);
        params.set_print_progress(false);
        params.set_print_realtime(false);
        params.set_print_timestamps(false);
        params.set_print_special(false);
        self.state.full(params, &samples)?;
        let (mut text, mut tokens, mut certainty) = (String::new(), 0, 0.0);
        for segment in self.state.as_iter() {
            text.push_str(&segment.to_str_lossy()?);
            tokens += segment.n_tokens();
            certainty += (0..segment.n_tokens())
                .filter_map(|n| segment.get_token(n))
                .map(|token| token.token_probability().max(f32::MIN_POSITIVE).ln())
                .sum::<f32>();
        }
        let guessed = tokens > 0 && certainty / (tokens as f32) < LEAST_CERTAINTY;
        // To ask again is better than to answer what nobody said.
        Ok(if guessed || tokens >= most_tokens { String::new() } else { providers::local::clean(&text) })
    }
}

/// 16 kHz floats, padded.
fn widen(speech: &Frame) -> Result<Vec<f32>, Error> {
    let mut resampler = Resampler::new(speech.rate, SampleRate::HZ_16000)?;
    let mut wide = resampler.process(&speech.samples);
    wide.extend(resampler.flush());
    let mut samples: Vec<f32> = wide.into_iter().map(|sample| f32::from(sample) / 32_768.0).collect();
    if samples.len() < SHORTEST {
        samples.resize(SHORTEST, 0.0);
    }
    Ok(samples)
}
