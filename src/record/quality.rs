//! How a call sounded: the `media_quality` column, one JSON object.
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// Both ways of a call, and the counters of its packets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MediaQuality {
    /// `PCMU`, `PCMA`, ….
    pub codec: String,
    /// The crypto suite of SRTP, `AES_CM_128_HMAC_SHA1_80`, …; absent for plain RTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crypto: Option<String>,
    /// Where the caller's packets came from, and ours went.
    pub remote: SocketAddr,
    /// The last round trip by RTCP; absent where the peer sends no reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round_trip_ms: Option<f64>,
    /// The longest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round_trip_max_ms: Option<f64>,
    /// RTP packets of the caller, without duplicates.
    pub received: u64,
    /// Those that came after their gap was given up.
    pub late: u64,
    /// Those that came again.
    pub duplicated: u64,
    /// Those that were overtaken and still came in time.
    pub reordered: u64,
    /// Audio made up for what was missing.
    pub concealed_ms: u64,
    /// RTP packets sent.
    pub sent: u64,
    /// Packets dropped because they came from elsewhere.
    pub foreign: u64,
    /// Where the first of them came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foreign_from: Option<SocketAddr>,
    /// Caller to us.
    pub uplink: WayQuality,
    /// Us to caller, as the peer reports it; absent where it sends no reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub downlink: Option<WayQuality>,
    /// What else happened to its packets; absent where nothing did.
    #[serde(default, skip_serializing_if = "Trouble::is_none")]
    pub trouble: Trouble,
}

/// What a call survived; of its members those are absent that are 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Trouble {
    /// Frames that could not be decoded or encoded.
    #[serde(skip_serializing_if = "is_zero")]
    pub codec_errors: u64,
    /// Packets never sent, as the server was late.
    #[serde(skip_serializing_if = "is_zero")]
    pub skipped: u64,
    /// Audio of the assistant for which the queue had no room.
    #[serde(skip_serializing_if = "is_zero")]
    pub playout_dropped_ms: u64,
    /// Streams of the caller that began anew.
    #[serde(skip_serializing_if = "is_zero")]
    pub restarts: u64,
    /// Timestamps that jumped although no packet was missing.
    #[serde(skip_serializing_if = "is_zero")]
    pub timestamp_jumps: u64,
    /// The caller's pauses that were left out, as more audio had come than time had passed.
    #[serde(skip_serializing_if = "is_zero")]
    pub left_out_ms: u64,
    /// Datagrams that were no RTP or RTCP, or of a payload type nobody agreed on.
    #[serde(skip_serializing_if = "is_zero")]
    pub malformed: u64,
    /// Packets that nobody with the key of SRTP had made.
    #[serde(skip_serializing_if = "is_zero")]
    pub unauthentic: u64,
    /// Packets under SRTP that came again.
    #[serde(skip_serializing_if = "is_zero")]
    pub replayed: u64,
}

impl Trouble {
    fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// One way.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct WayQuality {
    /// Packets that should have come.
    pub expected: u64,
    /// Packets that did not, or too late.
    pub lost: u64,
    /// Mean length of a run of lost packets; absent where only the peer knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean_run: Option<f64>,
    /// Interarrival jitter at the end.
    pub jitter_ms: f64,
    /// 95 of 100 measurements were no worse.
    pub jitter_p95_ms: f64,
    /// The worst.
    pub jitter_max_ms: f64,
    /// What listeners would say; its members are absent where no packet was to come.
    #[serde(flatten)]
    pub score: Option<Score>,
}

/// How one way was rated.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Transmission rating of ITU-T G.107: up to 93.2 in narrowband.
    pub r: f64,
    /// Mean opinion score of a conversation, 1 to 4.5.
    pub mos_cq: f64,
    /// The same of listening: delay does not count.
    pub mos_lq: f64,
    /// The worst five seconds of a conversation.
    pub mos_min: f64,
}

impl WayQuality {
    /// Packets lost of a hundred.
    pub fn loss_percent(&self) -> f64 {
        if self.expected == 0 { 0.0 } else { self.lost as f64 * 100.0 / self.expected as f64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_that_there_was_not_is_not_written_down() {
        let trouble = Trouble { skipped: 3, replayed: 1, ..Trouble::default() };
        let json = "{\"skipped\":3,\"replayed\":1}";
        assert_eq!(serde_json::to_string(&trouble).unwrap(), json);
        assert_eq!(serde_json::from_str::<Trouble>(json).unwrap(), trouble);
        assert!(!trouble.is_none() && Trouble::default().is_none());
    }

    #[test]
    fn a_call_over_plain_rtp_names_no_suite_and_nor_does_one_of_before() {
        let json = "{\"codec\":\"PCMU\",\"remote\":\"192.0.2.1:4000\",\"received\":1,\"late\":0,\"duplicated\":0,\
                    \"reordered\":0,\"concealed_ms\":0,\"sent\":1,\"foreign\":0,\"uplink\":{\"expected\":0,\"lost\":0,\
                    \"jitter_ms\":0.0,\"jitter_p95_ms\":0.0,\"jitter_max_ms\":0.0}}";
        let plain: MediaQuality = serde_json::from_str(json).unwrap();
        assert_eq!((&plain.crypto, serde_json::to_string(&plain).unwrap().as_str()), (&None, json));
        let encrypted = MediaQuality { crypto: Some("AEAD_AES_256_GCM".into()), ..plain };
        let written = serde_json::to_string(&encrypted).unwrap();
        assert!(written.starts_with("{\"codec\":\"PCMU\",\"crypto\":\"AEAD_AES_256_GCM\",\"remote\""), "{written}");
        assert_eq!(serde_json::from_str::<MediaQuality>(&written).unwrap(), encrypted);
    }

    #[test]
    fn a_way_that_was_not_heard_has_no_score() {
        let heard = WayQuality {
            expected: 100,
            lost: 1,
            mean_run: None,
            jitter_ms: 2.5,
            jitter_p95_ms: 4.0,
            jitter_max_ms: 9.0,
            score: Some(Score { r: 89.5, mos_cq: 4.32, mos_lq: 4.33, mos_min: 4.0 }),
        };
        let json = "{\"expected\":100,\"lost\":1,\"jitter_ms\":2.5,\"jitter_p95_ms\":4.0,\"jitter_max_ms\":9.0,\
                    \"r\":89.5,\"mos_cq\":4.32,\"mos_lq\":4.33,\"mos_min\":4.0}";
        let unheard = WayQuality { expected: 0, lost: 0, score: None, ..heard };
        let short = "{\"expected\":0,\"lost\":0,\"jitter_ms\":2.5,\"jitter_p95_ms\":4.0,\"jitter_max_ms\":9.0}";
        for (way, json) in [(heard, json), (unheard, short)] {
            assert_eq!(serde_json::to_string(&way).unwrap(), json);
            assert_eq!(serde_json::from_str::<WayQuality>(json).unwrap(), way);
        }
    }
}
