//! From a secretary and the server's configuration to the provider that speaks for her.
mod parts;

use crate::{
    call::{Rung, Standby, tools},
    config::{self, Config, Secret},
    secretary::{self, ProcessingMode, ProviderKind, RungConfig, Secretary},
};
use media::Law;
use providers::{elevenlabs, gemini, live, local, openai};
use std::time::Duration;
use thiserror::Error;

/// What the speech engine of this process can do, as far as the `local` provider depends on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ears {
    /// A recogniser is loaded.
    pub hearing: local::Hearing,
    /// Languages with a voice of their own.
    pub voices: Vec<local::Language>,
    /// What recognises and speaks each language, for the record.
    pub engines: Vec<(local::Language, String)>,
}

/// Why a secretary cannot take calls: the configuration's fault, for the administrator.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Unavailable {
    /// A provider without its key never stands in silently.
    #[error("secretary {secretary:?} speaks through {provider}, but [{provider}] api_key is not set")]
    NoKey {
        /// Her name.
        secretary: String,
        /// As in the column and in the configuration.
        provider: &'static str,
    },
    /// Its section has a key of its own, and that of another will do.
    #[error(
        "secretary {secretary:?} speaks through openai-live, but neither [live] api_key nor [openai] api_key is set"
    )]
    NoLiveKey {
        /// Her name.
        secretary: String,
    },
    /// Nobody said where.
    #[error("secretary {secretary:?} speaks through Azure, but [azure] endpoint is not set")]
    NoEndpoint {
        /// Her name.
        secretary: String,
    },
    /// Nobody said which agent.
    #[error(
        "secretary {secretary:?} speaks through ElevenLabs, but neither her agent_id nor that of [elevenlabs] is set"
    )]
    NoAgent {
        /// Her name.
        secretary: String,
    },
    /// No such dialect in this version.
    #[error(
        "secretary {secretary:?} has realtime_provider {provider:?}; this version knows openai, azure, openai-live, gemini, elevenlabs, pipeline, turn_based and local"
    )]
    UnknownProvider {
        /// Her name.
        secretary: String,
        /// What her row says.
        provider: String,
    },
    /// A part of a conversation is not there.
    #[error("secretary {secretary:?}: what she speaks through lacks its {part}: {problem}")]
    Part {
        /// Her name.
        secretary: String,
        /// `stt`, `llm` or `tts`.
        part: &'static str,
        /// What is missing.
        problem: String,
    },
    /// The `local` provider speaks two languages.
    #[error("secretary {secretary:?} has language {language:?}; the local provider speaks pt-BR and en-US")]
    Language {
        /// Her name.
        secretary: String,
        /// What her row says.
        language: String,
    },
}

/// The providers of a secretary, in the order of her ladder.
#[derive(Debug)]
pub struct Rungs {
    /// Who begins.
    pub first: Rung,
    /// Who goes on when the one before failed.
    pub below: Vec<Rung>,
    /// Rungs that are missing, and why: for the log.
    pub warnings: Vec<String>,
}

/// The whole ladder of a secretary: her provider (in mode `turn_based`, the parts that take whole turns), then what her
/// `ladder` names; and where her mode is `auto`, turn by turn as far as that is configured, and the built-in provider. A
/// rung that is not configured is skipped while there is another.
///
/// # Errors
/// What the administrator has to mend, when no rung is left.
pub fn rungs(secretary: &Secretary, config: &Config, ears: &Ears) -> Result<Rungs, Unavailable> {
    let named = secretary.provider_config.ladder.iter().map(|rung| with(secretary, rung));
    let own = match secretary.processing_mode {
        ProcessingMode::TurnBased => Secretary { provider: ProviderKind::TurnBased, ..secretary.clone() },
        ProcessingMode::Realtime | ProcessingMode::Auto => secretary.clone(),
    };
    let mut secretaries: Vec<Secretary> = std::iter::once(own).chain(named).collect();
    let auto = secretary.processing_mode == ProcessingMode::Auto;
    for provider in [ProviderKind::TurnBased, ProviderKind::Local] {
        if auto && secretaries.iter().all(|secretary| secretary.provider != provider) {
            let (model, voice, agent_id) = (None, None, None);
            let last = with(secretary, &RungConfig { provider, model, voice, agent_id });
            // Nobody asked for it by name: where it is not configured, nothing is missing.
            if last.provider == ProviderKind::Local || rung(&last, config, ears).is_ok() {
                secretaries.push(last);
            }
        }
    }
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    for secretary in &secretaries {
        match rung(secretary, config, ears) {
            Ok(rung) => found.push(rung),
            Err(why) => missing.push(why),
        }
    }
    let noted = found.iter().flat_map(|rung| notes(rung, secretary, config));
    let warnings = missing.iter().map(ToString::to_string).chain(noted).collect();
    let mut found = found.into_iter();
    match (found.next(), missing.into_iter().next()) {
        (Some(first), _) => Ok(Rungs { first, below: found.collect(), warnings }),
        (None, Some(why)) => Err(why),
        // Her own provider is always one or the other.
        (None, None) => rung(secretary, config, ears).map(|first| Rungs { first, below: Vec::new(), warnings }),
    }
}

/// What of the configuration a rung cannot do.
fn notes(rung: &Rung, secretary: &Secretary, config: &Config) -> Vec<String> {
    let name = &secretary.secretary_name;
    let is_realtime = matches!(rung, Rung::OpenAi(_) | Rung::Azure { .. });
    let is_semantic = matches!(secretary.provider_config.turn_detection, secretary::TurnDetection::SemanticVad { .. });
    let idle = (is_realtime && is_semantic && config.openai.tuning.idle.is_some())
        .then(|| format!("secretary {name:?} has semantic_vad, with which [openai] idle_timeout_ms does nothing"));
    idle.into_iter().collect()
}

/// The same secretary with another provider.
fn with(secretary: &Secretary, rung: &RungConfig) -> Secretary {
    let mut other = secretary.clone();
    other.provider = rung.provider.clone();
    other.voice_id.clone_from(&rung.voice);
    other.provider_config.model.clone_from(&rung.model);
    other.provider_config.agent_id.clone_from(&rung.agent_id);
    // It names a model of her own provider's.
    other.provider_config.transcription_model = None;
    other
}

fn rung(secretary: &Secretary, config: &Config, ears: &Ears) -> Result<Rung, Unavailable> {
    match &secretary.provider {
        ProviderKind::OpenAi => openai(secretary, config),
        ProviderKind::Azure => azure(secretary, config),
        ProviderKind::OpenAiLive => openai_live(secretary, config),
        ProviderKind::Gemini => gemini(secretary, config),
        ProviderKind::ElevenLabs => elevenlabs(secretary, config),
        ProviderKind::Pipeline => parts::rung(secretary, config, ears, parts::Mode::AsTheyCome),
        ProviderKind::TurnBased => parts::rung(secretary, config, ears, parts::Mode::TurnByTurn),
        ProviderKind::Local => local(secretary, config, ears),
        ProviderKind::Unknown(provider) => Err(Unavailable::UnknownProvider {
            secretary: secretary.secretary_name.clone(),
            provider: provider.clone(),
        }),
    }
}

fn openai(secretary: &Secretary, config: &Config) -> Result<Rung, Unavailable> {
    let Some(key) = &config.openai.api_key else {
        return Err(no_key(secretary, "openai"));
    };
    let mut rung = realtime(key, secretary, config);
    let own = &secretary.provider_config;
    rung.url.clone_from(&config.openai.url);
    rung.model = own.model.clone().unwrap_or_else(|| config.openai.model.clone());
    let transcription = own.transcription_model.clone().unwrap_or_else(|| config.openai.transcription_model.clone());
    rung.transcription_model = Some(transcription);
    Ok(Rung::OpenAi(Box::new(rung)))
}

/// The same protocol at another address, with deployments for models.
fn azure(secretary: &Secretary, config: &Config) -> Result<Rung, Unavailable> {
    let azure = &config.azure;
    let Some(key) = &azure.api_key else {
        return Err(no_key(secretary, "azure"));
    };
    let Some(endpoint) = &azure.endpoint else {
        return Err(Unavailable::NoEndpoint { secretary: secretary.secretary_name.clone() });
    };
    let mut rung = realtime(key, secretary, config);
    let own = &secretary.provider_config;
    rung.auth = openai::Auth::ApiKey;
    rung.url = format!("{}/openai/v1/realtime", endpoint.trim_end_matches('/'));
    rung.model = own.model.clone().unwrap_or_else(|| azure.deployment.clone());
    rung.transcription_model =
        Some(own.transcription_model.clone().unwrap_or_else(|| azure.transcription_model.clone()));
    Ok(Rung::Azure { config: Box::new(rung), model: azure.model.clone() })
}

fn openai_live(secretary: &Secretary, config: &Config) -> Result<Rung, Unavailable> {
    let Some(key) = config.openai.live.api_key.as_ref().or(config.openai.api_key.as_ref()) else {
        return Err(Unavailable::NoLiveKey { secretary: secretary.secretary_name.clone() });
    };
    let own = &secretary.provider_config;
    let mut rung = live::Config::new(key.expose(), openai::Format::G711(Law::Mu));
    rung.url.clone_from(&config.openai.live.url);
    rung.model = own.model.clone().unwrap_or_else(|| config.openai.live.model.clone());
    rung.backend_model.clone_from(&config.openai.live.backend_model);
    if let Some(voice) = &secretary.voice_id {
        rung.voice.clone_from(voice);
    }
    rung.instructions = secretary.system_prompt.clone().unwrap_or_default();
    rung.first_message = first_message(secretary, config);
    rung.language.clone_from(&own.language);
    rung.tools = tools(secretary);
    Ok(Rung::OpenAiLive(Box::new(rung)))
}

/// What a conversation with OpenAI Realtime has, wherever it is held.
fn realtime(key: &Secret, secretary: &Secretary, config: &Config) -> openai::Config {
    let own = &secretary.provider_config;
    let tuning = &config.openai.tuning;
    let mut rung = openai::Config::new(key.expose(), openai::Format::G711(Law::Mu));
    if let Some(voice) = &secretary.voice_id {
        rung.voice.clone_from(voice);
    }
    rung.instructions = secretary.system_prompt.clone().unwrap_or_default();
    rung.first_message = first_message(secretary, config);
    rung.turn_detection = turn_detection(secretary, tuning);
    rung.language = own.language.as_deref().and_then(|tag| tag.split('-').next()).map(str::to_ascii_lowercase);
    rung.speed = secretary.voice_settings.speed.map(f64::from);
    rung.tools = tools(secretary);
    rung.tool_choice = match &tuning.tool_choice {
        // The provider would refuse the whole session.
        openai::ToolChoice::Function(name) if !rung.tools.iter().any(|tool| tool.name == *name) => {
            openai::ToolChoice::Auto
        }
        choice => choice.clone(),
    };
    rung.noise_reduction = tuning.noise_reduction;
    rung.bounds = openai::Bounds {
        reasoning: tuning.reasoning,
        max_output_tokens: tuning.max_output_tokens,
        truncation: tuning.truncation,
    };
    rung.mcp = tuning.mcp_servers.iter().map(mcp_server).collect();
    rung
}

fn mcp_server(server: &config::McpServer) -> openai::McpServer {
    openai::McpServer {
        label: server.label.clone(),
        url: server.url.clone(),
        authorization: server.authorization.as_ref().map(|secret| secret.expose().to_owned()),
        allowed_tools: server.allowed_tools.clone(),
    }
}

fn no_key(secretary: &Secretary, provider: &'static str) -> Unavailable {
    Unavailable::NoKey { secretary: secretary.secretary_name.clone(), provider }
}

fn gemini(secretary: &Secretary, config: &Config) -> Result<Rung, Unavailable> {
    let Some(key) = &config.gemini.api_key else {
        return Err(no_key(secretary, "gemini"));
    };
    let own = &secretary.provider_config;
    let mut rung = gemini::Config::new(key.expose());
    rung.url.clone_from(&config.gemini.url);
    rung.api_version.clone_from(&config.gemini.api_version);
    let model = own.model.as_deref().unwrap_or(&config.gemini.model);
    model.strip_prefix("models/").unwrap_or(model).clone_into(&mut rung.model);
    rung.voice = secretary.voice_id.clone().unwrap_or_else(|| config.gemini.voice.clone());
    rung.language.clone_from(&own.language);
    rung.instructions = secretary.system_prompt.clone().unwrap_or_default();
    rung.first_message = first_message(secretary, config);
    rung.turn_detection = activity_detection(secretary);
    rung.tools = tools(secretary);
    Ok(Rung::Gemini(Box::new(rung)))
}

/// It has no threshold but two sensitivities, and no detector of meaning but an end that comes sooner or later.
fn activity_detection(secretary: &Secretary) -> gemini::TurnDetection {
    use gemini::{Ending, Start};
    let start = if secretary.vad_threshold < 0.5 { Start::High } else { Start::Low };
    match secretary.provider_config.turn_detection {
        secretary::TurnDetection::ServerVad { prefix_padding } => {
            gemini::TurnDetection { start, ending: None, prefix_padding, silence: Some(secretary.silence) }
        }
        secretary::TurnDetection::SemanticVad { eagerness } => {
            let ending = match eagerness {
                secretary::Eagerness::Auto => None,
                secretary::Eagerness::Low | secretary::Eagerness::Medium => Some(Ending::Low),
                secretary::Eagerness::High => Some(Ending::High),
            };
            gemini::TurnDetection { start, ending, prefix_padding: None, silence: None }
        }
    }
}

/// Only what the secretary says is an override: the agent must allow each.
fn elevenlabs(secretary: &Secretary, config: &Config) -> Result<Rung, Unavailable> {
    let own = &secretary.provider_config;
    let Some(agent_id) = own.agent_id.clone().or_else(|| config.elevenlabs.agent_id.clone()) else {
        return Err(Unavailable::NoAgent { secretary: secretary.secretary_name.clone() });
    };
    let mut rung = elevenlabs::Config::new(agent_id, elevenlabs::Format::Ulaw);
    rung.url.clone_from(&config.elevenlabs.url);
    rung.api_key = config.elevenlabs.api_key.as_ref().map(|key| key.expose().to_owned());
    rung.language.clone_from(&own.language);
    rung.overrides = elevenlabs::Overrides {
        prompt: secretary.system_prompt.clone(),
        llm: own.model.clone(),
        first_message: first_message(secretary, config),
        language: own.language.clone(),
        voice: secretary.voice_id.clone(),
        speed: secretary.voice_settings.speed,
    };
    Ok(Rung::ElevenLabs(Box::new(rung)))
}

/// What is said first: that the call is recorded, the secretary's own words, and what her keys do.
fn first_message(secretary: &Secretary, config: &Config) -> Option<String> {
    let notice = recording_notice(secretary, config);
    let said = [notice, secretary.first_message.as_deref(), secretary.keys.announcement.as_deref()];
    let said: Vec<&str> = said.into_iter().flatten().collect();
    (!said.is_empty()).then(|| said.join(" "))
}

/// Where the call is recorded, and the caller is to be told.
fn recording_notice<'a>(secretary: &Secretary, config: &'a Config) -> Option<&'a str> {
    let recorded = secretary.recording.unwrap_or(config.recording.calls.enabled);
    config.recording.calls.notice.as_deref().filter(|_| recorded)
}

fn turn_detection(secretary: &Secretary, tuning: &config::Tuning) -> openai::TurnDetection {
    let interrupts = openai::Interrupts::ByServer;
    match secretary.provider_config.turn_detection {
        secretary::TurnDetection::ServerVad { prefix_padding } => openai::TurnDetection::ServerVad {
            threshold: f64::from(secretary.vad_threshold),
            prefix_padding: prefix_padding.unwrap_or(Duration::from_millis(300)),
            silence_duration: secretary.silence,
            idle: tuning.idle,
            interrupts,
        },
        secretary::TurnDetection::SemanticVad { eagerness } => {
            let eagerness = match eagerness {
                secretary::Eagerness::Auto => openai::Eagerness::Auto,
                secretary::Eagerness::Low => openai::Eagerness::Low,
                secretary::Eagerness::Medium => openai::Eagerness::Medium,
                secretary::Eagerness::High => openai::Eagerness::High,
            };
            openai::TurnDetection::SemanticVad { eagerness, interrupts }
        }
    }
}

/// A voice of this process for a secretary who [says only a notice](Secretary::saying_only): that this call is refused, and
/// `why` for the record.
///
/// # Errors
/// As [`rungs`].
pub fn notice(secretary: &Secretary, why: &str, config: &Config, ears: &Ears) -> Result<Rung, Unavailable> {
    let (mut voice, _) = receptionist(secretary, config, ears)?;
    // Whoever is sent away need not know by what.
    voice.disclosure = local::Disclosure::Omitted;
    voice.hearing = local::Hearing::Words;
    Ok(Rung::Local { config: Box::new(voice), engine: format!("notice: {why}") })
}

/// What speaks to the caller while no provider does; nothing where this process has no voice.
pub fn standby(secretary: &Secretary, config: &Config, ears: &Ears) -> Option<Standby> {
    if ears.voices.is_empty() {
        return None;
    }
    let tag = secretary.provider_config.language.as_deref().unwrap_or(&config.local.language);
    let language = local::Language::from_tag(tag).unwrap_or(local::Language::EnUs);
    let announcement = secretary.keys.announcement.clone();
    Some(Standby(local::Notice { language, voice: voice(language, ears), announcement }))
}

/// Better English with an accent than Portuguese read by an English voice: nobody understands that.
fn voice(language: local::Language, ears: &Ears) -> local::Language {
    if ears.voices.contains(&language) { language } else { local::Language::EnUs }
}

fn local(secretary: &Secretary, config: &Config, ears: &Ears) -> Result<Rung, Unavailable> {
    let (receptionist, language) = receptionist(secretary, config, ears)?;
    let engine = ears.engines.iter().find(|(of, _)| *of == language).map(|(_, engine)| engine.clone());
    Ok(Rung::Local { config: Box::new(receptionist), engine: engine.unwrap_or_default() })
}

fn receptionist(
    secretary: &Secretary,
    config: &Config,
    ears: &Ears,
) -> Result<(local::Config, local::Language), Unavailable> {
    let tag = secretary.provider_config.language.as_deref().unwrap_or(&config.local.language);
    let Some(language) = local::Language::from_tag(tag) else {
        let (secretary, language) = (secretary.secretary_name.clone(), tag.to_owned());
        return Err(Unavailable::Language { secretary, language });
    };
    let mut rung = local::Config::new(language, ears.hearing);
    rung.voice = voice(language, ears);
    rung.notice = recording_notice(secretary, config).map(str::to_owned);
    rung.first_message = secretary.first_message.clone();
    rung.keys_announcement = secretary.keys.announcement.clone();
    let answers = &secretary.provider_config.answers;
    rung.answers =
        answers.iter().map(|a| local::Answer { questions: a.questions.clone(), answer: a.answer.clone() }).collect();
    let rules = secretary.transfer_rules.iter().filter(|rule| rule.enabled);
    rung.transfers =
        rules.map(|r| local::TransferTarget { name: r.name.clone(), aliases: r.aliases.clone() }).collect();
    Ok((rung, language))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secretary::{Identity, SecretaryRow};
    use providers::pipeline;
    use uuid::Uuid;

    fn secretary(provider: &str, mode: &str, provider_config: &str) -> Secretary {
        let row = SecretaryRow {
            secretary_name: "Reception".into(),
            realtime_provider: provider.into(),
            processing_mode: Some(mode.into()),
            provider_config: Some(provider_config.into()),
            voice_id: Some("marin".into()),
            ..SecretaryRow::default()
        };
        let (secretary_realtime_uuid, domain_uuid) = (Uuid::nil(), Uuid::nil());
        let identity = Identity { secretary_realtime_uuid, domain_uuid, domain_name: "acme.example".into() };
        Secretary::parse(identity, row).unwrap()
    }

    /// Names of the rungs, and what is missing, for a server with a key of OpenAI alone.
    fn ladder(secretary: &Secretary) -> Result<(Vec<String>, usize), Unavailable> {
        ladder_of(secretary, "")
    }

    /// The same, for a server that has this in its configuration, too.
    fn ladder_of(secretary: &Secretary, toml: &str) -> Result<(Vec<String>, usize), Unavailable> {
        let environment = [("RAMAL_OPENAI_API_KEY".to_owned(), "sk-test".to_owned())].into();
        let config = Config::parse(toml, "ramal.toml", &environment).unwrap();
        let ears = Ears { hearing: local::Hearing::None, voices: vec![local::Language::EnUs], engines: Vec::new() };
        let Rungs { first, below, warnings } = rungs(secretary, &config, &ears)?;
        let names = std::iter::once(first).chain(below).map(|rung| rung.name()).collect();
        Ok((names, warnings.len()))
    }

    const KEYS: &str =
        "[[services]]\nname = \"groq\"\napi_key = \"k\"\n[[services]]\nname = \"deepgram\"\napi_key = \"k\"\n";
    const TURNS: &str = "turn_based groq:whisper-large-v3-turbo + groq:openai/gpt-oss-120b + local";

    #[test]
    fn parts_are_the_secretarys_or_the_servers() {
        let english = r#"{"language": "en-US"}"#;
        let (names, _) = ladder_of(&secretary("pipeline", "realtime", english), KEYS).unwrap();
        assert_eq!(names, ["pipeline deepgram:flux-general-multi + groq:openai/gpt-oss-120b + local"]);
        let own = r#"{"stt": "deepgram:nova-3", "tts": "deepgram", "model": "m", "language": "en-US"}"#;
        let (names, _) = ladder_of(&secretary("pipeline", "realtime", own), KEYS).unwrap();
        assert_eq!(names, ["pipeline deepgram:nova-3 + groq:m + deepgram"]);
        let (names, _) = ladder_of(&secretary("openai", "turn_based", own), KEYS).unwrap();
        assert_eq!(names, ["turn_based groq:whisper-large-v3-turbo + groq:m + deepgram"], "its ear takes whole turns");
    }

    /// The database gives 500 to whoever says nothing.
    #[test]
    fn flux_is_told_of_a_silence_that_is_not_everybodys() {
        let environment = [("RAMAL_OPENAI_API_KEY".to_owned(), "sk-test".to_owned())].into();
        let config = Config::parse(KEYS, "ramal.toml", &environment).unwrap();
        let ears = Ears { hearing: local::Hearing::None, voices: vec![local::Language::EnUs], engines: Vec::new() };
        let told = |silence| {
            let own = Secretary { silence, ..secretary("pipeline", "realtime", r#"{"language": "en-US"}"#) };
            let Rung::Pipeline(parts) = rungs(&own, &config, &ears).unwrap().first else { panic!("no parts") };
            let pipeline::Hearing::Flux { longest_silence, .. } = parts.config.hearing else { panic!("not flux") };
            longest_silence
        };
        let ms = Duration::from_millis;
        assert_eq!((told(ms(500)), told(ms(1_200))), (None, Some(ms(1_200))));
    }

    #[test]
    fn auto_goes_on_turn_by_turn_where_that_is_configured() {
        let auto = secretary("openai", "auto", r#"{"language": "en-US"}"#);
        let (names, missing) = ladder_of(&auto, KEYS).unwrap();
        assert_eq!((&names[1..], missing), (&[TURNS.to_owned(), "local".to_owned()][..], 0));
    }

    #[test]
    fn a_part_that_is_not_there_is_named_with_what_it_lacks() {
        let problem = |config: &str, toml: &str| {
            ladder_of(&secretary("pipeline", "realtime", config), toml).unwrap_err().to_string()
        };
        let english = r#"{"language": "en-US"}"#;
        for (config, toml, part, lacks) in [
            (english, "", "stt", "\"deepgram\" has no api_key"),
            (
                r#"{"tts": "elevenlabs:eleven_flash_v2_5", "language": "en-US"}"#,
                KEYS,
                "tts",
                "\"elevenlabs\" has no api_key",
            ),
            (r#"{"stt": "local", "language": "en-US"}"#, KEYS, "stt", "no recogniser"),
            (r#"{"language": "es-ES"}"#, KEYS, "tts", "no voice for \"es-ES\""),
            (r#"{"llm": "piper:x", "language": "en-US"}"#, KEYS, "llm", "has no language model"),
            (r#"{"llm": "nobody:x", "language": "en-US"}"#, KEYS, "llm", "no service \"nobody\""),
        ] {
            let problem = problem(config, toml);
            assert!(problem.contains(&format!("lacks its {part}: ")) && problem.contains(lacks), "{problem}");
        }
    }

    #[test]
    fn her_provider_comes_first_then_the_ladder_in_its_order() {
        let config = r#"{"model": "own", "ladder": [{"provider": "local"}, {"provider": "openai", "model": "other"}]}"#;
        let (names, warnings) = ladder(&secretary("openai", "realtime", config)).unwrap();
        assert_eq!((names, warnings), (vec!["openai own".into(), "local".into(), "openai other".into()], 0));
    }

    #[test]
    fn a_rung_without_its_key_is_skipped_while_there_is_another() {
        let (names, warnings) =
            ladder(&secretary("gemini", "realtime", r#"{"ladder": [{"provider": "local"}]}"#)).unwrap();
        assert_eq!((names, warnings), (vec!["local".to_owned()], 1));
        let alone = ladder(&secretary("gemini", "realtime", "{}"));
        assert!(matches!(alone, Err(Unavailable::NoKey { provider: "gemini", .. })), "{alone:?}");
    }

    #[test]
    fn auto_ends_with_what_needs_nobody_else_and_realtime_does_not() {
        let of = |mode| ladder(&secretary("openai", mode, "{}")).unwrap().0.len();
        assert_eq!((of("auto"), of("realtime")), (2, 1));
        let named = secretary("openai", "auto", r#"{"ladder": [{"provider": "local"}]}"#);
        assert_eq!(ladder(&named).unwrap().0.len(), 2, "once is enough");
    }

    #[test]
    fn a_voice_of_one_provider_is_not_asked_of_another() {
        let own = secretary("gemini", "realtime", r#"{"ladder": [{"provider": "openai"}]}"#);
        let other = with(&own, &own.provider_config.ladder[0]);
        assert_eq!((own.voice_id.as_deref(), other.voice_id), (Some("marin"), None));
    }
}
