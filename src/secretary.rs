//! A secretary: one row of `v_voice_secretaries_realtime`, parsed once at the border. A call takes a snapshot of it.
mod keys;
mod parts;
mod provider;
mod rungs;

use crate::breaker::Circuit;
pub use keys::{KeyAction, KeyOption, Keys};
pub use parts::{LOCAL, Part, Parts};
pub use provider::ProviderKind;
pub use rungs::{RawRung, RungConfig};

use serde::Deserialize;
use serde_json::Value;
use std::{collections::BTreeMap, fmt, time::Duration};
use thiserror::Error;
use uuid::Uuid;

/// Longest transfer destination, in characters.
const MAX_DESTINATION: usize = 64;
/// Longest call a secretary may be configured for, in seconds: a day.
const MAX_DURATION_SECONDS: i32 = 86_400;
/// Most calls at once that a secretary may be configured for.
const MAX_CALLS: i32 = 100_000;
/// Most turns a secretary may be configured for.
const MAX_TURNS: i32 = 10_000;

/// [`Secretary::silence`] of one who says nothing else; the database has it for a default as well.
pub const DEFAULT_SILENCE: Duration = Duration::from_millis(500);

/// A configured assistant, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Secretary {
    /// Its identity.
    pub secretary_realtime_uuid: Uuid,
    /// Its tenant.
    pub domain_uuid: Uuid,
    /// The tenant's name, as SIP knows it.
    pub domain_name: String,
    /// For people.
    pub secretary_name: String,
    /// What callers dial; `None` for one that is reached by other means only.
    pub extension: Option<String>,
    /// Which chain answers.
    pub processing_mode: ProcessingMode,
    /// Who speaks.
    pub provider: ProviderKind,
    /// How that provider is set up.
    pub provider_config: ProviderConfig,
    /// The provider's name of a voice; `None` for its default.
    pub voice_id: Option<String>,
    /// How that voice speaks.
    pub voice_settings: VoiceSettings,
    /// What the model is told to be.
    pub system_prompt: Option<String>,
    /// What is said when the call is answered; `None` lets the provider decide: `openai` and `gemini` wait for the caller, `local`
    /// greets in words of its own.
    pub first_message: Option<String>,
    /// How sure the provider's detector must be that it hears speech, 0 to 1.
    pub vad_threshold: f32,
    /// How much quiet ends the caller's turn.
    pub silence: Duration,
    /// Whether the model may call `functions`.
    pub enable_functions: bool,
    /// Tools beyond those every secretary has.
    pub functions: Vec<Function>,
    /// Whether the model may look things up in her collection.
    pub enable_rag: bool,
    /// Her collection of what her tenant knows, which may be gone, or be another's: then nothing is found in it.
    pub rag_collection_id: Option<Uuid>,
    /// Where callers may be sent.
    pub transfer_rules: Vec<TransferRule>,
    /// What the caller's keys do.
    pub keys: Keys,
    /// The call says goodbye after this long.
    pub max_duration: Duration,
    /// The call says goodbye after this many turns of the caller.
    pub max_turns: u32,
    /// Whether its calls are recorded; `None` if the server's configuration decides.
    pub recording: Option<bool>,
    /// Whether the model may pause the recording.
    pub recording_pause: bool,
    /// Most calls with her at once; `None` for any number.
    pub max_concurrent_calls: Option<u32>,
    /// Whether it takes calls.
    pub enabled: bool,
    /// What her tenant says of her calls.
    pub of_tenant: OfTenant,
    /// What was found odd and ignored, for the log: unknown keys in JSON columns.
    pub warnings: Vec<String>,
}

/// Which chain answers; the `processing_mode` column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProcessingMode {
    /// Speech to speech.
    #[default]
    Realtime,
    /// Record, recognise, answer, speak.
    TurnBased,
    /// Realtime as long as it works, then turn based.
    Auto,
}

impl ProcessingMode {
    /// As in the column.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Realtime => "realtime",
            Self::TurnBased => "turn_based",
            Self::Auto => "auto",
        }
    }
}

/// The `provider_config` column.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProviderConfig {
    /// The provider's model; `None` for the server's default.
    pub model: Option<String>,
    /// The provider's name of an assistant that is set up there; `None` for the server's default.
    pub agent_id: Option<String>,
    /// BCP 47 (`pt-BR`); `None` for the server's default.
    pub language: Option<String>,
    /// Which model writes down what the caller says; `None` for the server's default.
    pub transcription_model: Option<String>,
    /// How the provider finds the end of a turn.
    pub turn_detection: TurnDetection,
    /// What hears, answers and speaks, where that is her choice.
    pub parts: Parts,
    /// What the local provider may answer, verbatim.
    pub answers: Vec<Answer>,
    /// Who goes on when the provider fails, in this order.
    pub ladder: Vec<RungConfig>,
}

/// How the provider finds the end of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnDetection {
    /// By silence; threshold and silence are columns of their own.
    ServerVad {
        /// Audio kept from before the first sound of speech; `None` for the provider's default.
        prefix_padding: Option<Duration>,
    },
    /// By meaning.
    SemanticVad {
        /// How soon it takes the turn.
        eagerness: Eagerness,
    },
}

impl Default for TurnDetection {
    fn default() -> Self {
        Self::ServerVad { prefix_padding: None }
    }
}

/// How soon semantic turn detection takes the turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Eagerness {
    /// Waits up to 8 s.
    Low,
    /// Waits up to 4 s.
    Medium,
    /// Waits up to 2 s.
    High,
    /// The provider's choice.
    #[default]
    Auto,
}

impl Eagerness {
    /// As the provider spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Auto => "auto",
        }
    }
}

/// A registered answer, spoken word for word.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// Ways to ask for it.
    pub questions: Vec<String>,
    /// What is said.
    pub answer: String,
}

/// The `voice_settings` column.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VoiceSettings {
    /// 1 is the voice's own pace; 0.25 to 1.5.
    pub speed: Option<f32>,
}

/// A tool the model may call; one element of `functions_config`.
#[derive(Clone, Debug, PartialEq)]
pub struct Function {
    /// `[A-Za-z0-9_-]{1,64}`.
    pub name: String,
    /// What it does, for the model.
    pub description: String,
    /// JSON Schema of its arguments, as JSON text.
    pub parameters: String,
}

/// Where callers may be sent; one element of `transfer_rules`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransferRule {
    /// What the caller and the model call it, e.g. `financeiro`.
    pub name: String,
    /// Other names of it.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// An extension or number of the PBX: `[0-9A-Za-z*#+._-]{1,64}`.
    pub destination: String,
    /// A disabled rule is as if it were not there.
    #[serde(default = "yes")]
    pub enabled: bool,
}

const fn yes() -> bool {
    true
}

/// One row as the database gives it: words and numbers, nothing checked. JSON columns are their text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SecretaryRow {
    /// `secretary_name`.
    pub secretary_name: String,
    /// `extension`.
    pub extension: Option<String>,
    /// `processing_mode`.
    pub processing_mode: Option<String>,
    /// `realtime_provider`.
    pub realtime_provider: String,
    /// `provider_config`, a JSON object.
    pub provider_config: Option<String>,
    /// `voice_id`.
    pub voice_id: Option<String>,
    /// `voice_settings`, a JSON object.
    pub voice_settings: Option<String>,
    /// `system_prompt`.
    pub system_prompt: Option<String>,
    /// `first_message`.
    pub first_message: Option<String>,
    /// `vad_threshold`.
    pub vad_threshold: Option<f64>,
    /// `silence_duration_ms`.
    pub silence_duration_ms: Option<i32>,
    /// `enable_functions`.
    pub enable_functions: Option<bool>,
    /// `functions_config`, a JSON array.
    pub functions_config: Option<String>,
    /// `enable_rag`.
    pub enable_rag: Option<bool>,
    /// `rag_collection_id`, a UUID.
    pub rag_collection_id: Option<String>,
    /// `transfer_rules`, a JSON array.
    pub transfer_rules: Option<String>,
    /// `dtmf_menu`, a JSON object.
    pub dtmf_menu: Option<String>,
    /// `max_duration_seconds`.
    pub max_duration_seconds: Option<i32>,
    /// `max_turns`.
    pub max_turns: Option<i32>,
    /// `recording`.
    pub recording: Option<bool>,
    /// `recording_pause`.
    pub recording_pause: Option<bool>,
    /// `max_concurrent_calls`.
    pub max_concurrent_calls: Option<i32>,
    /// `enabled`.
    pub enabled: Option<bool>,
}

/// Which row it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// `secretary_realtime_uuid`.
    pub secretary_realtime_uuid: Uuid,
    /// `domain_uuid`.
    pub domain_uuid: Uuid,
    /// `v_domains.domain_name`.
    pub domain_name: String,
}

/// What a tenant says of the calls of its secretaries, and they do not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OfTenant {
    /// At which provider it has a key of its own, and what it is called.
    pub own_key: Option<(ProviderKind, String)>,
    /// Numbers of cards and e-mail addresses are not kept.
    pub redact: bool,
}

impl OfTenant {
    /// The circuit of a provider, for those with the key that its calls have.
    pub fn circuit(&self, of: Circuit) -> Circuit {
        let own = self.own_key.as_ref().filter(|(provider, _)| provider.as_str() == of.provider);
        Circuit { key_of: own.map(|(_, tenant)| tenant.clone()), ..of }
    }
}

/// A tenant, as somebody may call it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DomainRef {
    /// `v_domains.domain_name`, compared without case.
    Name(String),
    /// `v_domains.domain_uuid`.
    Uuid(Uuid),
}

impl From<&str> for DomainRef {
    /// What looks like a UUID is one.
    fn from(text: &str) -> Self {
        match text.trim().parse() {
            Ok(uuid) => Self::Uuid(uuid),
            Err(_) => Self::Name(text.trim().to_owned()),
        }
    }
}

impl fmt::Display for DomainRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Uuid(uuid) => uuid.fmt(f),
        }
    }
}

/// A secretary to be made or brought up to date: its tenant, and what its row shall say.
#[derive(Clone, Debug, PartialEq)]
pub struct SecretaryEntry {
    /// The tenant.
    pub domain: DomainRef,
    /// The row, which [`Secretary::parse`] accepts. `extension` is there: it is what the row is found by.
    pub row: SecretaryRow,
}

/// A column that does not say anything we can do. Only this secretary's calls are refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("secretary {secretary:?}, {column}: {problem}")]
pub struct SecretaryError {
    /// `secretary_name`, for people.
    pub secretary: String,
    /// Which column of `v_voice_secretaries_realtime`.
    pub column: &'static str,
    /// What is there and what is allowed.
    pub problem: String,
}

impl Secretary {
    /// Checks a row. NULL means the column's default.
    ///
    /// # Errors
    /// The first column whose value is not allowed.
    pub fn parse(identity: Identity, row: SecretaryRow) -> Result<Self, SecretaryError> {
        let secretary = row.secretary_name.clone();
        let fail = |(column, problem): Refused| SecretaryError { secretary: secretary.clone(), column, problem };
        let mut warnings = Vec::new();
        let checked = Checked::from_row(&row, &mut warnings).map_err(fail)?;
        let enable_rag = row.enable_rag.unwrap_or(false);
        if enable_rag && checked.rag_collection_id.is_none() {
            warnings.push("enable_rag: without a rag_collection_id there is nothing to look up".to_owned());
        }
        Ok(Self {
            secretary_realtime_uuid: identity.secretary_realtime_uuid,
            domain_uuid: identity.domain_uuid,
            domain_name: identity.domain_name,
            extension: words(row.extension),
            processing_mode: checked.processing_mode,
            provider: ProviderKind::parse(&row.realtime_provider),
            provider_config: checked.provider_config,
            voice_id: words(row.voice_id),
            voice_settings: checked.voice_settings,
            system_prompt: words(row.system_prompt),
            first_message: words(row.first_message),
            vad_threshold: checked.vad_threshold,
            silence: checked.silence,
            enable_functions: row.enable_functions.unwrap_or(false),
            functions: checked.functions,
            enable_rag,
            rag_collection_id: checked.rag_collection_id,
            transfer_rules: checked.transfer_rules,
            keys: checked.keys,
            max_duration: checked.max_duration,
            max_turns: checked.max_turns,
            recording: row.recording,
            recording_pause: row.recording_pause.unwrap_or(false),
            max_concurrent_calls: checked.max_concurrent_calls,
            enabled: row.enabled.unwrap_or(true),
            of_tenant: OfTenant::default(),
            secretary_name: row.secretary_name,
            warnings,
        })
    }
}

impl Secretary {
    /// The collection in which the model may look things up.
    pub fn knowledge(&self) -> Option<Uuid> {
        self.rag_collection_id.filter(|_| self.enable_rag)
    }

    /// Says this by the voice of this process, and goodbye: it listens to nothing, and sends the caller nowhere.
    pub fn saying_only(self, notice: String) -> Self {
        Self {
            provider: ProviderKind::Local,
            provider_config: ProviderConfig { language: self.provider_config.language, ..ProviderConfig::default() },
            first_message: Some(notice),
            enable_functions: false,
            functions: Vec::new(),
            enable_rag: false,
            transfer_rules: Vec::new(),
            keys: Keys::default(),
            max_turns: 0,
            recording: Some(false),
            recording_pause: false,
            ..self
        }
    }
}

/// Column and problem.
type Refused = (&'static str, String);

/// The columns that can be wrong, after they were found right.
struct Checked {
    processing_mode: ProcessingMode,
    provider_config: ProviderConfig,
    voice_settings: VoiceSettings,
    vad_threshold: f32,
    silence: Duration,
    functions: Vec<Function>,
    rag_collection_id: Option<Uuid>,
    transfer_rules: Vec<TransferRule>,
    keys: Keys,
    max_duration: Duration,
    max_turns: u32,
    max_concurrent_calls: Option<u32>,
}

impl Checked {
    fn from_row(row: &SecretaryRow, warnings: &mut Vec<String>) -> Result<Self, Refused> {
        if row.secretary_name.trim().is_empty() {
            return Err(("secretary_name", "is empty; give it a name".into()));
        }
        if let Some(extension) = row.extension.as_deref().map(str::trim).filter(|e| !e.is_empty()) {
            destination(extension).map_err(|problem| ("extension", problem))?;
        }
        let silence = within("silence_duration_ms", row.silence_duration_ms, 100..=10_000)?;
        let transfer_rules = transfer_rules(row.transfer_rules.as_deref())?;
        let seconds = within("max_duration_seconds", row.max_duration_seconds, 1..=MAX_DURATION_SECONDS)?;
        Ok(Self {
            processing_mode: processing_mode(row.processing_mode.as_deref())?,
            provider_config: provider_config(row.provider_config.as_deref(), warnings)?,
            voice_settings: voice_settings(row.voice_settings.as_deref())?,
            vad_threshold: vad_threshold(row.vad_threshold)?,
            silence: silence.map_or(DEFAULT_SILENCE, |ms| Duration::from_millis(ms.into())),
            functions: functions(row.functions_config.as_deref())?,
            rag_collection_id: collection(row.rag_collection_id.as_deref())?,
            keys: keys::read(row.dtmf_menu.as_deref(), &transfer_rules)?,
            transfer_rules,
            max_duration: Duration::from_secs(seconds.unwrap_or(300).into()),
            max_turns: within("max_turns", row.max_turns, 1..=MAX_TURNS)?.unwrap_or(50),
            max_concurrent_calls: within("max_concurrent_calls", row.max_concurrent_calls, 0..=MAX_CALLS)?,
        })
    }
}

/// Checks an extension or number that goes into a SIP URI.
///
/// # Errors
/// What is wrong with it and what is allowed.
pub fn destination(text: &str) -> Result<(), String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '*' | '#' | '+' | '.' | '_' | '-');
    if (1..=MAX_DESTINATION).contains(&text.len()) && text.chars().all(allowed) {
        return Ok(());
    }
    Err(format!("{text:?} is not an extension: 1 to {MAX_DESTINATION} of the characters 0-9 A-Z a-z * # + . _ -"))
}

fn words(text: Option<String>) -> Option<String> {
    text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn within(
    column: &'static str,
    value: Option<i32>,
    allowed: std::ops::RangeInclusive<i32>,
) -> Result<Option<u32>, Refused> {
    let Some(value) = value else { return Ok(None) };
    let checked = u32::try_from(value).ok().filter(|_| allowed.contains(&value));
    let refusal = || (column, format!("{value} is outside {} to {}", allowed.start(), allowed.end()));
    checked.ok_or_else(refusal).map(Some)
}

fn vad_threshold(value: Option<f64>) -> Result<f32, Refused> {
    let value = value.unwrap_or(0.5);
    if (0.0..=1.0).contains(&value) {
        Ok(value as f32)
    } else {
        Err(("vad_threshold", format!("{value} is outside 0 to 1")))
    }
}

fn processing_mode(word: Option<&str>) -> Result<ProcessingMode, Refused> {
    match word.map(str::trim) {
        None | Some("") => Ok(ProcessingMode::default()),
        Some("realtime") => Ok(ProcessingMode::Realtime),
        Some("turn_based") => Ok(ProcessingMode::TurnBased),
        Some("auto") => Ok(ProcessingMode::Auto),
        Some(other) => Err(("processing_mode", format!("{other:?} is none of realtime, turn_based, auto"))),
    }
}

/// Reads a JSON column; NULL and empty text are the type's default.
fn json<T: Default + for<'de> Deserialize<'de>>(column: &'static str, text: Option<&str>) -> Result<T, Refused> {
    match text.map(str::trim) {
        None | Some("" | "null") => Ok(T::default()),
        Some(text) => {
            serde_json::from_str(text).map_err(|error| (column, format!("is not what is allowed there: {error}")))
        }
    }
}

#[derive(Default, Deserialize)]
struct RawProviderConfig {
    model: Option<String>,
    agent_id: Option<String>,
    language: Option<String>,
    transcription_model: Option<String>,
    turn_detection: Option<RawTurnDetection>,
    #[serde(flatten)]
    parts: parts::RawParts,
    #[serde(default)]
    answers: Vec<Answer>,
    #[serde(default)]
    ladder: Vec<RawRung>,
    #[serde(flatten)]
    unknown: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RawTurnDetection {
    Name(String),
    Object {
        #[serde(rename = "type")]
        name: String,
        eagerness: Option<Eagerness>,
        prefix_padding_ms: Option<u32>,
    },
}

fn provider_config(text: Option<&str>, warnings: &mut Vec<String>) -> Result<ProviderConfig, Refused> {
    const COLUMN: &str = "provider_config";
    let raw: RawProviderConfig = json(COLUMN, text)?;
    for (index, answer) in raw.answers.iter().enumerate() {
        if answer.answer.trim().is_empty() || answer.questions.iter().all(|question| question.trim().is_empty()) {
            return Err((COLUMN, format!("answers[{index}] needs at least one question and an answer")));
        }
    }
    if let Some(language) = words(raw.language.clone()) {
        language_tag(&language).map_err(|problem| (COLUMN, problem))?;
    }
    warnings.extend(raw.unknown.keys().map(|key| format!("{COLUMN}: unknown key {key:?} is ignored")));
    let turn_detection = match raw.turn_detection {
        None => TurnDetection::default(),
        Some(RawTurnDetection::Name(name)) => turn_detection(&name, None, None)?,
        Some(RawTurnDetection::Object { name, eagerness, prefix_padding_ms }) => {
            turn_detection(&name, eagerness, prefix_padding_ms)?
        }
    };
    Ok(ProviderConfig {
        model: words(raw.model),
        agent_id: words(raw.agent_id),
        language: words(raw.language),
        transcription_model: words(raw.transcription_model),
        turn_detection,
        parts: parts::read(raw.parts).map_err(|problem| (COLUMN, problem))?,
        answers: raw.answers,
        ladder: rungs::read(raw.ladder).map_err(|problem| (COLUMN, problem))?,
    })
}

fn turn_detection(
    name: &str,
    eagerness: Option<Eagerness>,
    prefix_padding_ms: Option<u32>,
) -> Result<TurnDetection, Refused> {
    match name {
        "server_vad" => Ok(TurnDetection::ServerVad {
            prefix_padding: prefix_padding_ms.map(|ms| Duration::from_millis(ms.into())),
        }),
        "semantic_vad" => Ok(TurnDetection::SemanticVad { eagerness: eagerness.unwrap_or_default() }),
        other => Err(("provider_config", format!("turn_detection {other:?} is none of server_vad, semantic_vad"))),
    }
}

/// Checks the shape of a BCP 47 tag: `pt`, `pt-BR`, `zh-Hans-CN`.
///
/// # Errors
/// What is wrong with it and what is allowed.
pub fn language_tag(tag: &str) -> Result<(), String> {
    let mut parts = tag.split('-');
    let primary =
        parts.next().is_some_and(|part| (2..=3).contains(&part.len()) && part.chars().all(|c| c.is_ascii_alphabetic()));
    let rest = parts.all(|part| (1..=8).contains(&part.len()) && part.chars().all(|c| c.is_ascii_alphanumeric()));
    if primary && rest { Ok(()) } else { Err(format!("language {tag:?} is not a tag like \"pt-BR\" or \"en\"")) }
}

#[derive(Default, Deserialize)]
struct RawVoiceSettings {
    speed: Option<f32>,
}

fn voice_settings(text: Option<&str>) -> Result<VoiceSettings, Refused> {
    let raw: RawVoiceSettings = json("voice_settings", text)?;
    match raw.speed {
        Some(speed) if !(0.25..=1.5).contains(&speed) => {
            Err(("voice_settings", format!("speed {speed} is outside 0.25 to 1.5")))
        }
        speed => Ok(VoiceSettings { speed }),
    }
}

#[derive(Deserialize)]
struct RawFunction {
    name: String,
    #[serde(default)]
    description: String,
    parameters: Option<Value>,
}

fn functions(text: Option<&str>) -> Result<Vec<Function>, Refused> {
    const COLUMN: &str = "functions_config";
    json::<Vec<RawFunction>>(COLUMN, text)?
        .into_iter()
        .map(|raw| {
            let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
            if !(1..=64).contains(&raw.name.len()) || !raw.name.chars().all(allowed) {
                return Err((COLUMN, format!("function name {:?} is not 1 to 64 of A-Z a-z 0-9 _ -", raw.name)));
            }
            let parameters = match raw.parameters {
                None => r#"{"type":"object","properties":{}}"#.to_owned(),
                Some(schema @ Value::Object(_)) => schema.to_string(),
                Some(_) => return Err((COLUMN, format!("parameters of {:?} must be a JSON Schema object", raw.name))),
            };
            Ok(Function { name: raw.name, description: raw.description, parameters })
        })
        .collect()
}

fn collection(id: Option<&str>) -> Result<Option<Uuid>, Refused> {
    let Some(id) = id.map(str::trim).filter(|id| !id.is_empty()) else { return Ok(None) };
    id.parse().map(Some).map_err(|_| ("rag_collection_id", format!("{id:?} is not the UUID of a collection")))
}

fn transfer_rules(text: Option<&str>) -> Result<Vec<TransferRule>, Refused> {
    const COLUMN: &str = "transfer_rules";
    let rules: Vec<TransferRule> = json(COLUMN, text)?;
    for rule in &rules {
        if rule.name.trim().is_empty() {
            return Err((COLUMN, format!("the rule to {:?} has no name", rule.destination)));
        }
        destination(&rule.destination).map_err(|problem| (COLUMN, format!("rule {:?}: {problem}", rule.name)))?;
    }
    Ok(rules)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity {
            secretary_realtime_uuid: Uuid::from_u128(1),
            domain_uuid: Uuid::from_u128(2),
            domain_name: "demo.example".into(),
        }
    }

    fn row() -> SecretaryRow {
        SecretaryRow { secretary_name: "Ana".into(), realtime_provider: "local".into(), ..SecretaryRow::default() }
    }

    fn parse(change: impl FnOnce(&mut SecretaryRow)) -> Result<Secretary, String> {
        let mut row = row();
        change(&mut row);
        Secretary::parse(identity(), row).map_err(|error| error.to_string())
    }

    #[test]
    fn null_means_the_default_of_the_table() {
        let secretary = parse(|_| {}).unwrap();
        assert_eq!(secretary.vad_threshold, 0.5);
        assert_eq!(secretary.silence, Duration::from_millis(500));
        assert_eq!(secretary.max_duration, Duration::from_secs(300));
        assert_eq!(secretary.max_turns, 50);
        assert_eq!(secretary.processing_mode, ProcessingMode::Realtime);
        assert_eq!(secretary.provider_config, ProviderConfig::default());
        assert!(secretary.enabled && !secretary.enable_functions && secretary.warnings.is_empty());
    }

    #[test]
    fn a_full_row_is_read() {
        let secretary = parse(|row| {
            row.extension = Some(" 8001 ".into());
            row.realtime_provider = "OpenAI".into();
            row.provider_config = Some(
                r#"{"model":"gpt-realtime-2.1","language":"pt-BR","temperature":0.2,
                    "turn_detection":{"type":"semantic_vad","eagerness":"high"},
                    "answers":[{"questions":["horário?"],"answer":"Das 8 às 18."}]}"#
                    .into(),
            );
            row.voice_settings = Some(r#"{"speed":1.2,"stability":0.5}"#.into());
            row.first_message = Some("  ".into());
            row.functions_config = Some(r#"[{"name":"look_up","parameters":{"type":"object"}}]"#.into());
            row.transfer_rules = Some(r#"[{"name":"financeiro","aliases":["boleto"],"destination":"1000"}]"#.into());
        })
        .unwrap();
        assert_eq!(secretary.extension.as_deref(), Some("8001"));
        assert_eq!(secretary.provider, ProviderKind::OpenAi);
        assert_eq!(secretary.first_message, None);
        let config = secretary.provider_config;
        assert_eq!(config.turn_detection, TurnDetection::SemanticVad { eagerness: Eagerness::High });
        assert_eq!((config.model.as_deref(), config.answers.len()), (Some("gpt-realtime-2.1"), 1));
        assert_eq!(secretary.voice_settings.speed, Some(1.2));
        assert_eq!(secretary.functions[0].parameters, r#"{"type":"object"}"#);
        assert!(secretary.transfer_rules[0].enabled);
        assert_eq!(secretary.warnings, [r#"provider_config: unknown key "temperature" is ignored"#]);
    }

    #[test]
    fn knowledge_is_hers_only_if_it_is_enabled_and_named() {
        let (id, text) = (Uuid::from_u128(7), Uuid::from_u128(7).to_string());
        for (enabled, named, knowledge) in
            [(Some(true), Some(&text), Some(id)), (Some(false), Some(&text), None), (None, Some(&text), None)]
        {
            let secretary = parse(|row| (row.enable_rag, row.rag_collection_id) = (enabled, named.cloned())).unwrap();
            assert_eq!((secretary.knowledge(), secretary.rag_collection_id), (knowledge, Some(id)));
            assert_eq!(secretary.warnings, [] as [&str; 0]);
        }
        let nothing = parse(|row| (row.enable_rag, row.rag_collection_id) = (Some(true), Some(" ".into()))).unwrap();
        assert!(nothing.knowledge().is_none() && nothing.warnings[0].contains("rag_collection_id"));
    }

    #[test]
    fn a_provider_without_a_dialect_is_kept_by_name() {
        let secretary = parse(|row| row.realtime_provider = "novasonic".into()).unwrap();
        assert_eq!(secretary.provider, ProviderKind::Unknown("novasonic".into()));
    }

    #[test]
    fn errors_name_secretary_column_value_and_what_is_allowed() {
        type Change = fn(&mut SecretaryRow);
        let cases: [(Change, &str); 15] = [
            (|row| row.secretary_name = " ".into(), "secretary_name: is empty"),
            (|row| row.extension = Some("80 01".into()), "extension: \"80 01\" is not an extension"),
            (|row| row.processing_mode = Some("fast".into()), "processing_mode: \"fast\" is none of realtime"),
            (|row| row.provider_config = Some("{".into()), "provider_config: is not what is allowed there: EOF"),
            (|row| row.provider_config = Some("[]".into()), "provider_config: "),
            (
                |row| row.provider_config = Some(r#"{"turn_detection":"magic"}"#.into()),
                "\"magic\" is none of server_vad",
            ),
            (
                |row| row.provider_config = Some(r#"{"language":"português"}"#.into()),
                "language \"português\" is not a tag",
            ),
            (
                |row| row.provider_config = Some(r#"{"answers":[{"questions":[],"answer":"x"}]}"#.into()),
                "answers[0] needs",
            ),
            (
                |row| row.voice_settings = Some(r#"{"speed":9}"#.into()),
                "voice_settings: speed 9 is outside 0.25 to 1.5",
            ),
            (|row| row.vad_threshold = Some(f64::NAN), "vad_threshold: NaN is outside 0 to 1"),
            (|row| row.silence_duration_ms = Some(-1), "silence_duration_ms: -1 is outside 100 to 10000"),
            (|row| row.max_turns = Some(0), "max_turns: 0 is outside 1 to 10000"),
            (|row| row.rag_collection_id = Some("prices".into()), "rag_collection_id: \"prices\" is not the UUID"),
            (
                |row| row.functions_config = Some(r#"[{"name":"a b"}]"#.into()),
                "functions_config: function name \"a b\"",
            ),
            (
                |row| row.transfer_rules = Some(r#"[{"name":"x","destination":"1000@evil"}]"#.into()),
                "transfer_rules: rule \"x\": \"1000@evil\" is not an extension",
            ),
        ];
        for (change, want) in cases {
            let error = parse(change).unwrap_err();
            assert!(error.contains(want) && error.starts_with("secretary "), "{error}\n  lacks {want}");
        }
    }

    #[test]
    fn destinations_cannot_smuggle_sip() {
        for good in ["1000", "*99100", "+551133334444", "ring-group.1", "A_b#"] {
            assert_eq!(destination(good), Ok(()), "{good}");
        }
        for bad in ["", "10 00", "1000@host", "1000;x=y", "1000?Replaces=a", "1000>", "é", &"1".repeat(65)] {
            assert!(destination(bad).is_err(), "{bad}");
        }
    }
}
