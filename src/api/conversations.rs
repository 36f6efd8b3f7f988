//! `/v1/conversations`: what was said, found by its words, shown, and forgotten.
use super::{
    endpoint::Endpoint,
    input::{Id, Query},
    page::{self, Page, Whose},
    problem::Problem,
    scope::Scope,
};
use crate::{
    record::{Conversation, MediaQuality, Recording, State, TranscriptEntry, Trouble, WayQuality},
    store::{self, Cursor, Placed},
};
use axum::{http::StatusCode, routing::MethodFilter};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

const ALL: &str = "/v1/conversations";
pub(super) const ONE: &str = "/v1/conversations/{id}";

/// Which conversations are meant: those that are all of it.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Search {
    /// The domain, by name or UUID. A token for all domains must say it; one for a single domain need not.
    #[serde(rename = "domain")]
    pub(super) _domain: Option<String>,
    /// Items of a page; 50 if it is not said.
    #[schemars(range(min = 1, max = 200))]
    pub(super) limit: Option<u32>,
    /// `next` of the page before.
    pub(super) cursor: Option<String>,
    /// Words that were said, or how they begin; in any order, whatever their case and accents.
    pub(super) words: Option<String>,
    /// The caller's number as it is kept.
    pub(super) caller: Option<String>,
    /// With this secretary.
    pub(super) secretary: Option<Uuid>,
    /// Which began then or later.
    pub(super) from: Option<DateTime<Utc>>,
    /// Which began before.
    pub(super) to: Option<DateTime<Utc>>,
}

/// A conversation without what was said.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(super) struct Summary {
    /// Which.
    pub(super) conversation_uuid: Uuid,
    /// Of which tenant.
    pub(super) domain_uuid: Uuid,
    /// Who answered; null once she is deleted.
    pub(super) secretary_realtime_uuid: Option<Uuid>,
    /// The PBX's channel, or the Call-ID.
    pub(super) call_uuid: String,
    /// The caller's number as it is kept.
    pub(super) caller_id: String,
    /// What the caller dialled.
    pub(super) destination: String,
    /// When the call was answered, or refused.
    pub(super) started_at: DateTime<Utc>,
    /// When it ended.
    pub(super) ended_at: DateTime<Utc>,
    /// Turns of the caller.
    pub(super) turns: u64,
    /// From the end of the caller's speech to the reply, on average.
    pub(super) average_latency_ms: Option<u64>,
    /// How it ended: `completed`, `transferred`, `abandoned`, `timeout` or `failed`.
    pub(super) outcome: &'static str,
    /// How it ended, in a sentence.
    pub(super) end_reason: String,
    /// Where the caller was sent, or was to be sent.
    pub(super) transfer_destination: Option<String>,
    /// Who spoke at the end.
    pub(super) provider: String,
    /// By which model or engines.
    pub(super) engine: String,
    /// Tokens that the provider billed as input.
    pub(super) input_tokens: u64,
    /// Tokens that the provider billed as output.
    pub(super) output_tokens: u64,
    /// What the providers will charge, estimated; in millionths of a dollar.
    pub(super) cost_micro_usd: u64,
    /// What those charged that tell it.
    pub(super) billed_micro_usd: Option<u64>,
    /// Its recording, if it was recorded.
    pub(super) recording: Option<RecordingView>,
}

/// What is known of a recording.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(super) struct RecordingView {
    /// `complete`, `partial`, or `failed`: then there is none.
    pub(super) state: &'static str,
    /// How long the call was recorded.
    pub(super) duration_ms: u64,
    /// Whether its file is sealed; it comes out opened.
    pub(super) sealed: bool,
    /// Why it is not whole.
    pub(super) problem: Option<String>,
}

/// A conversation with what was said.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(super) struct Whole {
    /// What is known of it.
    pub(super) summary: Summary,
    /// How it sounded; null where nothing was measured.
    pub(super) media_quality: Option<MediaQualityView>,
    /// What produced it, then its turns, as docs/transcript.schema.json says.
    #[schemars(with = "Vec<Map<String, Value>>")]
    pub(super) transcript: Vec<TranscriptEntry>,
}

/// How a call sounded. Which addresses its packets had is for whoever runs the servers.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(super) struct MediaQualityView {
    /// What the audio was sent in.
    pub(super) codec: String,
    /// The crypto suite of SRTP; null for plain RTP.
    pub(super) crypto: Option<String>,
    /// The last round trip; null where the phone sent no reports.
    pub(super) round_trip_ms: Option<f64>,
    /// The longest.
    pub(super) round_trip_max_ms: Option<f64>,
    /// RTP packets of the caller, without duplicates.
    pub(super) received: u64,
    /// Those that came after their gap was given up.
    pub(super) late: u64,
    /// Those that came again.
    pub(super) duplicated: u64,
    /// Those that were overtaken and still came in time.
    pub(super) reordered: u64,
    /// Audio made up for what was missing.
    pub(super) concealed_ms: u64,
    /// RTP packets sent.
    pub(super) sent: u64,
    /// Packets dropped because they came from elsewhere.
    pub(super) foreign: u64,
    /// Caller to us.
    pub(super) uplink: WayView,
    /// Us to caller, as the phone reported it; null where it sent no reports.
    pub(super) downlink: Option<WayView>,
    /// What else happened to its packets.
    pub(super) trouble: TroubleView,
}

/// How one way of a call sounded.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(super) struct WayView {
    /// Packets that should have come.
    pub(super) expected: u64,
    /// Packets that did not, or too late.
    pub(super) lost: u64,
    /// Mean length of a run of lost packets; null where only the phone knows.
    pub(super) mean_run: Option<f64>,
    /// Interarrival jitter (RFC 3550) at the end.
    pub(super) jitter_ms: f64,
    /// 95 of 100 measurements were no worse.
    pub(super) jitter_p95_ms: f64,
    /// The worst.
    pub(super) jitter_max_ms: f64,
    /// Transmission rating (ITU-T G.107): up to 93.2 in narrowband; null, as the opinions are, where no packet was to come.
    pub(super) r: Option<f64>,
    /// Mean opinion score of a conversation, 1 to 4.5.
    pub(super) mos_cq: Option<f64>,
    /// The same of listening: delay does not count.
    pub(super) mos_lq: Option<f64>,
    /// The worst five seconds of the conversation.
    pub(super) mos_min: Option<f64>,
}

/// What a call survived.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(super) struct TroubleView {
    /// Frames that could not be decoded or encoded.
    pub(super) codec_errors: u64,
    /// Packets never sent, as the server was late.
    pub(super) skipped: u64,
    /// Audio of the assistant for which the queue had no room.
    pub(super) playout_dropped_ms: u64,
    /// Streams of the caller that began anew.
    pub(super) restarts: u64,
    /// Timestamps that jumped although no packet was missing.
    pub(super) timestamp_jumps: u64,
    /// The caller's pauses that were left out, as more audio had come than time had passed.
    pub(super) left_out_ms: u64,
    /// Datagrams that were no RTP or RTCP, or of a payload type nobody agreed on.
    pub(super) malformed: u64,
    /// Packets that nobody with the key of SRTP had made.
    pub(super) unauthentic: u64,
    /// Packets under SRTP that came again.
    pub(super) replayed: u64,
}

impl From<MediaQuality> for MediaQualityView {
    fn from(of: MediaQuality) -> Self {
        Self {
            codec: of.codec,
            crypto: of.crypto,
            round_trip_ms: of.round_trip_ms,
            round_trip_max_ms: of.round_trip_max_ms,
            received: of.received,
            late: of.late,
            duplicated: of.duplicated,
            reordered: of.reordered,
            concealed_ms: of.concealed_ms,
            sent: of.sent,
            foreign: of.foreign,
            uplink: of.uplink.into(),
            downlink: of.downlink.map(WayView::from),
            trouble: of.trouble.into(),
        }
    }
}

impl From<WayQuality> for WayView {
    fn from(of: WayQuality) -> Self {
        Self {
            expected: of.expected,
            lost: of.lost,
            mean_run: of.mean_run,
            jitter_ms: of.jitter_ms,
            jitter_p95_ms: of.jitter_p95_ms,
            jitter_max_ms: of.jitter_max_ms,
            r: of.score.map(|score| score.r),
            mos_cq: of.score.map(|score| score.mos_cq),
            mos_lq: of.score.map(|score| score.mos_lq),
            mos_min: of.score.map(|score| score.mos_min),
        }
    }
}

impl From<Trouble> for TroubleView {
    fn from(of: Trouble) -> Self {
        Self {
            codec_errors: of.codec_errors,
            skipped: of.skipped,
            playout_dropped_ms: of.playout_dropped_ms,
            restarts: of.restarts,
            timestamp_jumps: of.timestamp_jumps,
            left_out_ms: of.left_out_ms,
            malformed: of.malformed,
            unauthentic: of.unauthentic,
            replayed: of.replayed,
        }
    }
}

impl From<Recording> for RecordingView {
    fn from(of: Recording) -> Self {
        let state = match of.state {
            State::Complete => "complete",
            State::Partial => "partial",
            State::Failed => "failed",
        };
        let duration_ms = u64::try_from(of.duration.as_millis()).unwrap_or(u64::MAX);
        Self { state, duration_ms, sealed: of.key_id.is_some(), problem: of.problem }
    }
}

impl From<Conversation> for Summary {
    fn from(of: Conversation) -> Self {
        let average_latency_ms = of.average_latency().and_then(|latency| u64::try_from(latency.as_millis()).ok());
        Self {
            conversation_uuid: of.conversation_uuid,
            domain_uuid: of.domain_uuid,
            secretary_realtime_uuid: of.secretary_realtime_uuid,
            turns: of.total_turns() as u64,
            average_latency_ms,
            call_uuid: of.call_uuid,
            caller_id: of.caller_id,
            destination: of.destination,
            started_at: of.started_at,
            ended_at: of.ended_at,
            outcome: of.outcome.as_str(),
            end_reason: of.end_reason,
            transfer_destination: of.transfer_destination,
            provider: of.provider,
            engine: of.engine,
            input_tokens: of.input_tokens,
            output_tokens: of.output_tokens,
            cost_micro_usd: of.estimated_cost.0,
            billed_micro_usd: of.billed_cost.map(|cost| cost.0),
            recording: of.recording.map(RecordingView::from),
        }
    }
}

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::new(
            (MethodFilter::GET, ALL),
            ("listConversations", "Lists conversations of a domain, the newest first"),
            list,
        )
        .query::<Search>()
        .json::<Page<Summary>>(200),
        Endpoint::new((MethodFilter::GET, ONE), ("getConversation", "Shows what was said in a conversation"), show)
            .query::<Whose>()
            .json::<Whole>(200),
        Endpoint::new(
            (MethodFilter::DELETE, ONE),
            ("eraseConversation", "Deletes a conversation, recording included"),
            erase,
        )
        .query::<Whose>()
        .nothing(204),
    ]
}

async fn list(scope: Scope, Query(search): Query<Search>) -> Result<axum::Json<Page<Summary>>, Problem> {
    let size = page::size(search.limit)?;
    let nul = |text: &Option<String>| text.as_ref().is_some_and(|text| text.contains('\0'));
    if nul(&search.words) || nul(&search.caller) {
        return Err(Problem::malformed("words and caller must not have the character U+0000"));
    }
    let query = store::Query {
        words: search.words.unwrap_or_default(),
        caller: search.caller,
        secretary: search.secretary,
        from: search.from,
        to: search.to,
        last: size + 1,
        ..store::Query::default()
    };
    let after = page::place(search.cursor.as_deref(), Cursor::parse)?;
    let rows = scope.conversations(query, after.as_ref()).await?;
    let show = |Placed { place, row }: Placed<Cursor, Conversation>| {
        row.map(Summary::from).map_err(|_| place.conversation().to_owned())
    };
    Ok(axum::Json(Page::tried(rows, size, |row| row.place.to_string(), show)))
}

async fn show(scope: Scope, Id(id): Id, _: Query<Whose>) -> Result<axum::Json<Whole>, Problem> {
    let mut conversation = scope.conversation(id).await?;
    let transcript = conversation.transcript();
    let media_quality = conversation.media_quality.take().map(MediaQualityView::from);
    Ok(axum::Json(Whole { summary: conversation.into(), media_quality, transcript }))
}

async fn erase(scope: Scope, Id(id): Id, _: Query<Whose>) -> Result<StatusCode, Problem> {
    scope.erase(id).await.map(|()| StatusCode::NO_CONTENT)
}
