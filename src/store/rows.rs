//! Rows as both databases give them, and what they mean.
use super::{Found, StoreError};
use crate::{
    record::{Conversation, MicroUsd, Outcome, TranscriptEntry},
    secretary::{Identity, Secretary, SecretaryError, SecretaryRow},
};
use chrono::{DateTime, Utc};
use sqlx::FromRow;
use std::{fmt::Debug, time::Duration};
use tracing::warn;
use uuid::Uuid;

/// A row that may not be as ours: what is wrong with one says nothing of the others.
#[derive(Debug)]
pub(super) struct Tried<T>(pub(super) Result<T, StoreError>);

impl<'r, R: sqlx::Row, T: FromRow<'r, R>> FromRow<'r, R> for Tried<T> {
    fn from_row(row: &'r R) -> Result<Self, sqlx::Error> {
        Ok(Self(T::from_row(row).map_err(StoreError::from)))
    }
}

/// Those that can be read, each problem said in the log; and how many cannot.
pub(super) fn readable<T, U>(rows: Vec<Tried<T>>, read: fn(T) -> Result<U, StoreError>) -> (Vec<U>, u64) {
    let (mut all, mut unreadable) = (Vec::with_capacity(rows.len()), 0);
    for Tried(row) in rows {
        match row.and_then(read) {
            Ok(one) => all.push(one),
            Err(problem) => {
                unreadable += 1;
                warn!(%problem, "a row is passed over");
            }
        }
    }
    (all, unreadable)
}

/// A row of a list, and its place, which can be told of any.
#[derive(Debug)]
pub struct Placed<P, T> {
    /// Where it is: the list goes on behind it.
    pub place: P,
    /// What it says, or why nobody can tell.
    pub row: Result<T, StoreError>,
}

impl<'r, R, P, T> FromRow<'r, R> for Placed<P, T>
where
    R: sqlx::Row,
    P: FromRow<'r, R>,
    T: FromRow<'r, R>,
{
    fn from_row(row: &'r R) -> Result<Self, sqlx::Error> {
        Ok(Self { place: P::from_row(row)?, row: T::from_row(row).map_err(StoreError::from) })
    }
}

impl<P: Debug, T> Placed<P, T> {
    /// Reads what the row says; that it cannot be read is said in the log.
    pub(super) fn read<U>(self, read: fn(T) -> Result<U, StoreError>) -> Placed<P, U> {
        let Self { place, row } = self;
        let row = row.and_then(read).inspect_err(|problem| warn!(?place, %problem, "a row cannot be read"));
        Placed { place, row }
    }
}

/// A secretary joined with its domain; UUIDs and JSON cast to text, so that one bad value is not a failed query.
#[derive(Debug, FromRow)]
pub(super) struct SecretaryColumns {
    secretary_realtime_uuid: String,
    domain_uuid: String,
    domain_name: Option<String>,
    domain_enabled: bool,
    secretary_name: Option<String>,
    extension: Option<String>,
    processing_mode: Option<String>,
    realtime_provider: Option<String>,
    provider_config: Option<String>,
    voice_id: Option<String>,
    voice_settings: Option<String>,
    system_prompt: Option<String>,
    first_message: Option<String>,
    vad_threshold: Option<f64>,
    silence_duration_ms: Option<i32>,
    enable_functions: Option<bool>,
    functions_config: Option<String>,
    enable_rag: Option<bool>,
    rag_collection_id: Option<String>,
    transfer_rules: Option<String>,
    dtmf_menu: Option<String>,
    max_duration_seconds: Option<i32>,
    max_turns: Option<i32>,
    enabled: Option<bool>,
    recording: Option<bool>,
    recording_pause: Option<bool>,
    max_concurrent_calls: Option<i32>,
}

impl SecretaryColumns {
    fn takes_calls(&self) -> bool {
        self.domain_enabled && self.enabled.unwrap_or(true)
    }

    fn name(&self) -> String {
        self.secretary_name.clone().unwrap_or_default()
    }

    fn domain(&self) -> String {
        self.domain_name.clone().unwrap_or_else(|| self.domain_uuid.clone())
    }

    /// Which row it is, and what it says.
    pub(super) fn split(self) -> (Identity, SecretaryRow) {
        let identity = Identity {
            secretary_realtime_uuid: uuid(&self.secretary_realtime_uuid),
            domain_uuid: uuid(&self.domain_uuid),
            domain_name: self.domain(),
        };
        let row = SecretaryRow {
            secretary_name: self.secretary_name.unwrap_or_default(),
            extension: self.extension,
            processing_mode: self.processing_mode,
            realtime_provider: self.realtime_provider.unwrap_or_default(),
            provider_config: self.provider_config,
            voice_id: self.voice_id,
            voice_settings: self.voice_settings,
            system_prompt: self.system_prompt,
            first_message: self.first_message,
            vad_threshold: self.vad_threshold,
            silence_duration_ms: self.silence_duration_ms,
            enable_functions: self.enable_functions,
            functions_config: self.functions_config,
            enable_rag: self.enable_rag,
            rag_collection_id: self.rag_collection_id,
            transfer_rules: self.transfer_rules,
            dtmf_menu: self.dtmf_menu,
            max_duration_seconds: self.max_duration_seconds,
            max_turns: self.max_turns,
            enabled: self.enabled,
            recording: self.recording,
            recording_pause: self.recording_pause,
            max_concurrent_calls: self.max_concurrent_calls,
        };
        (identity, row)
    }

    fn read(self) -> Found {
        let (identity, row) = self.split();
        match Secretary::parse(identity, row) {
            Ok(secretary) => Found::Secretary(Box::new(secretary)),
            Err(error) => Found::Invalid(error),
        }
    }
}

/// What is needed of a secretary's row to say whose it is.
#[derive(Debug, Default, FromRow)]
pub(super) struct SecretaryHead {
    domain_uuid: String,
    domain_name: Option<String>,
    domain_enabled: bool,
    secretary_name: Option<String>,
    enabled: Option<bool>,
}

/// A secretary, or as much of one as can be read.
#[derive(Debug)]
pub(super) enum SecretaryFound {
    Whole(Box<SecretaryColumns>),
    Broken(SecretaryHead, String),
}

impl<'r, R: sqlx::Row> FromRow<'r, R> for SecretaryFound
where
    SecretaryColumns: FromRow<'r, R>,
    SecretaryHead: FromRow<'r, R>,
{
    fn from_row(row: &'r R) -> Result<Self, sqlx::Error> {
        Ok(SecretaryColumns::from_row(row).map_or_else(
            |problem| {
                // Whoever cannot be read at all is not called switched off.
                let nobody = SecretaryHead { domain_enabled: true, ..SecretaryHead::default() };
                Self::Broken(SecretaryHead::from_row(row).unwrap_or(nobody), problem.to_string())
            },
            |columns| Self::Whole(Box::new(columns)),
        ))
    }
}

impl SecretaryFound {
    fn takes_calls(&self) -> bool {
        match self {
            Self::Whole(columns) => columns.takes_calls(),
            Self::Broken(head, _) => head.domain_enabled && head.enabled.unwrap_or(true),
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Whole(columns) => columns.name(),
            Self::Broken(head, _) => head.secretary_name.clone().unwrap_or_default(),
        }
    }

    fn domain(&self) -> String {
        match self {
            Self::Whole(columns) => columns.domain(),
            Self::Broken(head, _) => head.domain_name.clone().unwrap_or_else(|| head.domain_uuid.clone()),
        }
    }

    fn read(self) -> Found {
        let secretary = self.name();
        match self {
            Self::Whole(columns) => columns.read(),
            Self::Broken(_, problem) => Found::Invalid(SecretaryError { secretary, column: "row", problem }),
        }
    }
}

/// Whom a call is for, of all the secretaries that have the extension.
pub(super) fn choose(rows: Vec<SecretaryFound>) -> Found {
    let Some(first) = rows.first().map(SecretaryFound::name) else { return Found::Nothing };
    let mut ready: Vec<SecretaryFound> = rows.into_iter().filter(SecretaryFound::takes_calls).collect();
    match (ready.pop(), ready.is_empty()) {
        (None, _) => Found::Disabled { secretary: first },
        (Some(only), true) => only.read(),
        (Some(last), false) => {
            ready.push(last);
            Found::Ambiguous { domains: ready.iter().map(SecretaryFound::domain).collect() }
        }
    }
}

/// A stored conversation; UUIDs and JSON cast to text.
#[derive(Debug, FromRow)]
pub(super) struct ConversationColumns {
    conversation_uuid: String,
    domain_uuid: String,
    secretary_realtime_uuid: Option<String>,
    call_uuid: String,
    caller_id: Option<String>,
    destination: Option<String>,
    started_at: Option<DateTime<Utc>>,
    ended_at: Option<DateTime<Utc>>,
    transcript: Option<String>,
    outcome: Option<String>,
    transfer_destination: Option<String>,
    input_tokens: Option<i32>,
    output_tokens: Option<i32>,
    audio_seconds: Option<f64>,
    estimated_cost: Option<f64>,
    billed_cost: Option<f64>,
    cost_micro_usd: Option<i64>,
    recording: Option<String>,
    media_quality: Option<String>,
}

impl ConversationColumns {
    pub(super) fn read(self) -> Result<Conversation, StoreError> {
        let unreadable = |column| StoreError::Unreadable { conversation: self.conversation_uuid.clone(), column };
        let entries: Vec<TranscriptEntry> = match &self.transcript {
            Some(json) => serde_json::from_str(json).map_err(|_| unreadable("transcript"))?,
            None => Vec::new(),
        };
        let outcome = self.outcome.as_deref().and_then(Outcome::parse).ok_or_else(|| unreadable("outcome"))?;
        let started_at = self.started_at.ok_or_else(|| unreadable("started_at"))?;
        let (mut turns, mut about) =
            (Vec::new(), (String::new(), String::new(), String::new(), Vec::new(), Vec::new()));
        for entry in entries {
            match entry {
                TranscriptEntry::Turn(turn) => turns.push(turn),
                TranscriptEntry::About { provider, engine, end_reason, changes, listened } => {
                    about = (provider, engine, end_reason, changes, listened);
                }
            }
        }
        let (provider, engine, end_reason, changes, listened) = about;
        let recording = match &self.recording {
            Some(json) => serde_json::from_str(json).map_err(|_| unreadable("recording"))?,
            None => None,
        };
        let media_quality = match &self.media_quality {
            Some(json) => serde_json::from_str(json).map_err(|_| unreadable("media_quality"))?,
            None => None,
        };
        let micro = |dollars: f64| MicroUsd((dollars * 1_000_000.0).round() as u64);
        let rounded = || micro(self.estimated_cost.unwrap_or(0.0));
        let cost =
            self.cost_micro_usd.and_then(|micros| u64::try_from(micros).ok().map(MicroUsd)).unwrap_or_else(rounded);
        Ok(Conversation {
            conversation_uuid: uuid(&self.conversation_uuid),
            domain_uuid: uuid(&self.domain_uuid),
            secretary_realtime_uuid: self.secretary_realtime_uuid.as_deref().map(uuid),
            call_uuid: self.call_uuid,
            caller_id: self.caller_id.unwrap_or_default(),
            destination: self.destination.unwrap_or_default(),
            started_at,
            ended_at: self.ended_at.unwrap_or(started_at),
            turns,
            changes,
            outcome,
            end_reason,
            transfer_destination: self.transfer_destination,
            input_tokens: self.input_tokens.unwrap_or(0).max(0).unsigned_abs().into(),
            output_tokens: self.output_tokens.unwrap_or(0).max(0).unsigned_abs().into(),
            audio: Duration::try_from_secs_f64(self.audio_seconds.unwrap_or(0.0)).unwrap_or_default(),
            estimated_cost: cost,
            billed_cost: self.billed_cost.map(micro),
            shares: Vec::new(),
            provider,
            engine,
            recording,
            media_quality,
            listened,
        })
    }
}

/// A UUID column's text. A SQLite file that somebody else wrote may hold anything: that is then nobody's UUID.
pub(super) fn uuid(text: &str) -> Uuid {
    text.parse().unwrap_or(Uuid::nil())
}
