//! `[[secretaries]]`: a secretary without a database tool. Each entry becomes a row of the table.
use super::{
    check::{Check, Place},
    raw::RawSecretary,
};
use crate::secretary::{
    Answer, DomainRef, Identity, ProviderKind, RawRung, Secretary, SecretaryEntry, SecretaryRow, TransferRule,
};
use providers::local::Language;
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeMap;
use toml::Value;
use uuid::Uuid;

const ANSWERS: &str = "must be a list of { questions = [\"…\"], answer = \"…\" }";
const RULES: &str = "must be a list of { name = \"…\", aliases = [\"…\"], destination = \"…\", enabled = true }";
const LADDER: &str = "must be a list of { provider = \"…\", model = \"…\", voice = \"…\" }";
const MENU: &str =
    "must be a table: { announcement = \"…\", options = [{ keys = \"1\", action = \"transfer\", to = \"…\" }] }";
const FUNCTIONS: &str = "must be a list of { name = \"…\", description = \"…\", parameters = { … } }";

/// Reads one entry; `None` when it has a mistake.
#[expect(clippy::too_many_lines, reason = "a line for each key")]
pub(super) fn entry(raw: RawSecretary, section: &str, check: &mut Check<'_>) -> Option<SecretaryEntry> {
    let at = |key| Place { section, key };
    let before = check.problems.len();
    check.unknown(section, &raw.unknown, RawSecretary::KEYS);
    let (provider, language) = (raw.provider.clone(), raw.language.clone());
    let rules: Vec<TransferRule> = check.shaped(at("transfer_rules"), raw.transfer_rules, RULES).unwrap_or_default();
    let functions: Option<Json> = check.shaped(at("functions"), raw.functions, FUNCTIONS);
    let menu: Option<Json> = check.shaped(at("dtmf_menu"), raw.dtmf_menu, MENU);
    let speed = check.number(at("voice_speed"), raw.voice_speed);
    let mut number =
        |key, value| check.integer(at(key), value, 0..=i32::MAX.unsigned_abs()).and_then(|n| i32::try_from(n).ok());
    let silence_duration_ms = number("silence_duration_ms", raw.silence_duration_ms);
    let max_duration_seconds = number("max_duration_seconds", raw.max_duration_seconds);
    let max_turns = number("max_turns", raw.max_turns);
    let max_concurrent_calls = number("max_concurrent_calls", raw.max_concurrent_calls);
    let provider_config = provider_config(
        [
            ("model", raw.model),
            ("agent_id", raw.agent_id),
            ("language", raw.language),
            ("transcription_model", raw.transcription_model),
            ("turn_detection", raw.turn_detection),
            ("stt", raw.stt),
            ("llm", raw.llm),
            ("tts", raw.tts),
        ],
        (raw.answers, raw.ladder),
        section,
        check,
    );
    let row = SecretaryRow {
        secretary_name: check.required(at("name"), raw.name).unwrap_or_default(),
        extension: check.required(at("extension"), raw.extension),
        processing_mode: check.text(at("mode"), raw.mode).or(Some("realtime".into())),
        realtime_provider: check.required(at("provider"), raw.provider).unwrap_or_default(),
        provider_config: Some(provider_config),
        voice_id: check.text(at("voice"), raw.voice),
        voice_settings: speed.map(|speed| json!({ "speed": speed }).to_string()),
        system_prompt: check.text(at("prompt"), raw.prompt),
        first_message: check.text(at("first_message"), raw.first_message),
        vad_threshold: check.number(at("vad_threshold"), raw.vad_threshold),
        silence_duration_ms,
        enable_functions: check.flag(at("enable_functions"), raw.enable_functions),
        functions_config: functions.map(|functions| functions.to_string()),
        enable_rag: check.flag(at("enable_rag"), raw.enable_rag),
        rag_collection_id: check.text(at("rag_collection_id"), raw.rag_collection_id),
        transfer_rules: Some(rules_json(&rules)),
        dtmf_menu: menu.map(|menu| menu.to_string()),
        max_duration_seconds,
        max_turns,
        recording: check.flag(at("recording"), raw.recording),
        recording_pause: check.flag(at("recording_pause"), raw.recording_pause),
        max_concurrent_calls,
        enabled: check.flag(at("enabled"), raw.enabled),
    };
    if let ProviderKind::Unknown(name) = ProviderKind::parse(&row.realtime_provider)
        && !name.is_empty()
    {
        const KNOWN: &str = "must be \"openai\", \"azure\", \"openai-live\", \"gemini\", \"elevenlabs\", \"pipeline\", \"turn_based\" or \"local\"";
        check.refuse(at("provider"), provider.as_ref(), KNOWN);
    }
    let domain = DomainRef::from(&*check.required(at("domain"), raw.domain)?);
    if check.problems.len() > before {
        return None;
    }
    usable(&domain, &row, language.as_ref(), section, check)?;
    Some(SecretaryEntry { domain, row })
}

/// Whether a row can take calls; `None` when its mistake is noted.
fn usable(
    domain: &DomainRef,
    row: &SecretaryRow,
    language: Option<&Value>,
    section: &str,
    check: &mut Check<'_>,
) -> Option<()> {
    let at = |key| Place { section, key };
    let identity =
        Identity { secretary_realtime_uuid: Uuid::nil(), domain_uuid: Uuid::nil(), domain_name: domain.to_string() };
    let secretary = match Secretary::parse(identity, row.clone()) {
        Ok(secretary) => secretary,
        Err(error) => {
            check.refuse(at(key_of(error.column)), None, error.problem);
            return None;
        }
    };
    if secretary.provider == ProviderKind::Local
        && let Some(Err(problem)) = secretary.provider_config.language.as_deref().map(spoken)
    {
        check.refuse(at("language"), language, problem);
        return None;
    }
    Some(())
}

/// Whether the built-in provider speaks this language.
pub(super) fn spoken(tag: &str) -> Result<(), String> {
    let known = Language::from_tag(tag).map(drop);
    known.ok_or_else(|| "provider \"local\" speaks Portuguese (\"pt-BR\") and English (\"en-US\") only".to_owned())
}

/// Refuses two entries for one extension: the second would overwrite the first.
pub(super) fn unique(entries: &[SecretaryEntry], check: &mut Check<'_>) {
    let mut seen = BTreeMap::new();
    for entry in entries {
        let extension = entry.row.extension.clone().unwrap_or_default();
        let name = &entry.row.secretary_name;
        if let Some(first) = seen.insert((entry.domain.to_string().to_lowercase(), extension.clone()), name) {
            let message = format!("{first:?} and {name:?} both have extension {extension:?} of {}", entry.domain);
            check.refuse(Place { section: "secretaries", key: "extension" }, None, message);
        }
    }
}

fn provider_config(
    texts: [(&str, Option<Value>); 8],
    (answers, ladder): (Option<Value>, Option<Value>),
    section: &str,
    check: &mut Check<'_>,
) -> String {
    let mut config = Map::new();
    for (key, value) in texts {
        if let Some(text) = check.telling(Place { section, key }, value) {
            config.insert(key.to_owned(), Json::String(text));
        }
    }
    let answers: Option<Vec<Answer>> = check.shaped(Place { section, key: "answers" }, answers, ANSWERS);
    if let Some(answers) = answers {
        let answers = answers.iter().map(|a| json!({ "questions": a.questions, "answer": a.answer })).collect();
        config.insert("answers".to_owned(), Json::Array(answers));
    }
    let ladder: Option<Vec<RawRung>> = check.shaped(Place { section, key: "ladder" }, ladder, LADDER);
    if let Some(ladder) = ladder {
        config.insert("ladder".to_owned(), Json::Array(ladder.iter().map(RawRung::to_json).collect()));
    }
    Json::Object(config).to_string()
}

fn rules_json(rules: &[TransferRule]) -> String {
    let rule = |rule: &TransferRule| {
        json!({
            "name": rule.name,
            "aliases": rule.aliases,
            "destination": rule.destination,
            "enabled": rule.enabled,
        })
    };
    Json::Array(rules.iter().map(rule).collect()).to_string()
}

/// The key an administrator wrote for a column.
fn key_of(column: &'static str) -> &'static str {
    match column {
        "secretary_name" => "name",
        "processing_mode" => "mode",
        "voice_settings" => "voice_speed",
        "functions_config" => "functions",
        same => same,
    }
}
