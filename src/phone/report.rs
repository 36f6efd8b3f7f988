//! What a phone measured, and what it recorded.
use super::plan::VOICE;
use serde::Serialize;
use std::time::Duration;

/// One call as the phone saw it. Times are milliseconds; `*_at_ms` count from the answer.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// From INVITE to the first provisional response above 100.
    pub ringing_ms: Option<f64>,
    /// That response's status.
    pub provisional: Option<u16>,
    /// From INVITE to 200.
    pub answered_ms: Option<f64>,
    /// From 200 to the far end's first voice.
    pub first_voice_ms: Option<f64>,
    /// Negotiated codec.
    pub codec: String,
    /// Crypto suite of SRTP; `None` for plain RTP.
    pub srtp: Option<String>,
    /// Keys that the far end pressed.
    pub keys: String,
    /// Clips that were started.
    pub clips: usize,
    /// Replies of the far end.
    pub turns: Vec<Turn>,
    /// Interruptions.
    pub barge_ins: Vec<BargeIn>,
    /// From answer to end.
    pub duration_ms: f64,
    /// RTP packets sent.
    pub sent: u64,
    /// RTP packets received.
    pub received: u64,
    /// Packets that never came.
    pub lost: u64,
    /// Interarrival jitter (RFC 3550 §6.4.1).
    pub jitter_ms: f64,
    /// How it ended.
    pub ended_by: Option<EndedBy>,
    /// Both sides, for a stereo file.
    #[serde(skip)]
    pub recording: Recording,
}

/// One reply.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Turn {
    /// When the reply began.
    pub at_ms: f64,
    /// From our last voice to its first.
    pub latency_ms: f64,
}

/// One interruption.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BargeIn {
    /// When our voice began.
    pub at_ms: f64,
    /// From our first voice to the far end's last.
    pub stopped_ms: f64,
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EndedBy {
    /// We hung up, or gave up.
    Us,
    /// The far end hung up.
    FarEnd {
        /// Its Reason header.
        reason: Option<String>,
    },
    /// The INVITE was refused.
    Refused {
        /// Final status; 408 for silence.
        status: u16,
        /// Where a redirection points to; it is not followed.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        contacts: Vec<String>,
    },
    /// The 200 carried no answer we can use.
    UnusableAnswer,
    /// The far end is gone without a BYE.
    Lost,
}

/// Both sides of a call at 8 kHz, on one time line that starts at the answer.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    said: Vec<i16>,
    heard: Vec<i16>,
}

/// The longest recording: two hours, some 115 MB a side in memory.
const MAX_SAMPLES: usize = 8_000 * 7_200;

impl Recording {
    pub(super) fn said(&mut self, at: Duration, samples: &[i16]) {
        place(&mut self.said, at, samples);
    }

    /// Audio arrives in sequence: a frame goes after the last, unless a pause lies between.
    pub(super) fn heard(&mut self, at: Duration, samples: &[i16]) {
        let behind = index(at).saturating_sub(self.heard.len());
        if self.heard.is_empty() || behind > samples.len().saturating_mul(10) {
            place(&mut self.heard, at, samples);
        } else {
            self.heard.extend_from_slice(samples);
        }
    }

    /// Interleaved: left what we said, right what we heard.
    pub fn stereo(&self) -> impl Iterator<Item = (i16, i16)> + '_ {
        let length = self.said.len().max(self.heard.len());
        let at = |side: &[i16], i: usize| side.get(i).copied().unwrap_or(0);
        (0..length).map(move |i| (at(&self.said, i), at(&self.heard, i)))
    }

    /// What was heard.
    pub fn heard_samples(&self) -> &[i16] {
        &self.heard
    }

    /// How long the far end was heard to speak: packets with a voice in them.
    pub fn heard_voice(&self) -> Duration {
        const PACKET: Duration = Duration::from_millis(20);
        let packets = self.heard.chunks(media::SampleRate::HZ_8000.samples_in(PACKET));
        let with_voice = packets.filter(|packet| packet.iter().any(|sample| sample.unsigned_abs() >= VOICE)).count();
        PACKET.saturating_mul(u32::try_from(with_voice).unwrap_or(u32::MAX))
    }
}

fn index(at: Duration) -> usize {
    media::SampleRate::HZ_8000.samples_in(at)
}

fn place(side: &mut Vec<i16>, at: Duration, samples: &[i16]) {
    let start = index(at);
    if start + samples.len() > MAX_SAMPLES {
        return;
    }
    if side.len() < start {
        side.resize(start, 0);
    }
    side.truncate(start);
    side.extend_from_slice(samples);
}

impl Report {
    pub(super) fn finish(&mut self, stats: &media::Stats, duration: Duration) {
        self.duration_ms = duration.as_secs_f64() * 1_000.0;
        self.sent = stats.sent;
        self.received = stats.received;
        self.lost = stats.lost;
        self.jitter_ms = stats.jitter.as_secs_f64() * 1_000.0;
    }
}
