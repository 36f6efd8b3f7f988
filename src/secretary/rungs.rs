//! `ladder` of the `provider_config` column: who goes on when the secretary's provider fails.
use super::ProviderKind;
use serde::Deserialize;

/// More rungs than this are refused: each costs the caller seconds, and a person is a better end than a tenth machine.
const MOST: usize = 8;

/// One rung below her provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RungConfig {
    /// Who speaks.
    pub provider: ProviderKind,
    /// The provider's model; `None` for the server's default.
    pub model: Option<String>,
    /// The provider's name of a voice; `None` for the server's default.
    pub voice: Option<String>,
    /// The provider's name of an assistant that is set up there; `None` for the server's default.
    pub agent_id: Option<String>,
}

/// As an administrator writes it, in TOML or JSON.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawRung {
    provider: String,
    model: Option<String>,
    voice: Option<String>,
    agent_id: Option<String>,
}

impl RawRung {
    /// As it is kept in the column.
    pub fn to_json(&self) -> serde_json::Value {
        let Self { provider, model, voice, agent_id } = self;
        let mut rung = serde_json::json!({ "provider": provider });
        if let Some(object) = rung.as_object_mut() {
            for (key, value) in [("model", model), ("voice", voice), ("agent_id", agent_id)] {
                object.extend(value.clone().map(|value| (key.to_owned(), value.into())));
            }
        }
        rung
    }
}

/// Checks the rungs.
///
/// # Errors
/// Which rung is wrong, and what is allowed.
pub(super) fn read(raw: Vec<RawRung>) -> Result<Vec<RungConfig>, String> {
    if raw.len() > MOST {
        return Err(format!("ladder has {} rungs; {MOST} are allowed", raw.len()));
    }
    let words = |text: Option<String>| super::words(text);
    let rung = |(index, raw): (usize, RawRung)| match ProviderKind::parse(&raw.provider) {
        ProviderKind::Unknown(name) => Err(format!(
            "ladder[{index}] has provider {name:?}; this version knows openai, azure, openai-live, gemini, elevenlabs, pipeline, turn_based and local"
        )),
        provider => {
            let (model, voice, agent_id) = (words(raw.model), words(raw.voice), words(raw.agent_id));
            Ok(RungConfig { provider, model, voice, agent_id })
        }
    };
    raw.into_iter().enumerate().map(rung).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ladder(json: &str) -> Result<Vec<RungConfig>, String> {
        read(serde_json::from_str(json).unwrap())
    }

    #[test]
    fn a_rung_is_a_provider_and_what_differs_from_the_servers_defaults() {
        let rungs = ladder(r#"[{"provider": "Gemini", "voice": " Kore "}, {"provider": "local"}]"#).unwrap();
        let providers: Vec<_> = rungs.iter().map(|rung| (rung.provider.as_str(), rung.voice.as_deref())).collect();
        assert_eq!(providers, [("gemini", Some("Kore")), ("local", None)]);
    }

    #[test]
    fn a_provider_nobody_knows_is_named_with_its_place() {
        let problem = ladder(r#"[{"provider": "local"}, {"provider": "hal"}]"#).unwrap_err();
        assert!(problem.starts_with("ladder[1] has provider \"hal\""), "{problem}");
        let known = problem.split_once("knows ").unwrap().1.replace(" and ", ", ");
        let is_known = |name: &str| !matches!(ProviderKind::parse(name), ProviderKind::Unknown(_));
        assert!(known.split(", ").all(is_known) && known.contains("azure, openai-live"), "{problem}");
        let many = format!("[{}]", [r#"{"provider": "local"}"#; MOST + 1].join(","));
        assert!(ladder(&many).unwrap_err().contains("9 rungs"));
    }

    #[test]
    fn what_is_written_is_read_again() {
        let raw: Vec<RawRung> = serde_json::from_str(r#"[{"provider": "openai", "model": "m"}]"#).unwrap();
        assert_eq!(serde_json::from_value::<RawRung>(raw[0].to_json()).unwrap(), raw[0]);
        assert_eq!(raw[0].to_json(), serde_json::json!({"provider": "openai", "model": "m"}));
    }
}
