//! What the caller's keys do: the `dtmf_menu` column.
use super::{Refused, TransferRule, destination, json, words};
use serde::Deserialize;
use std::time::Duration;

/// Most keys of one option, and most options: more, no caller remembers.
const MAX_KEYS: usize = 8;
const MAX_OPTIONS: usize = 64;
/// The longest entry that may be configured: a payment slip has 48 digits.
const MAX_ENTRY: u32 = 64;

/// How a secretary takes keys, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    /// What tells the caller of the options; said after the first message, and again on request.
    pub announcement: Option<String>,
    /// What they are; none for a secretary without a menu.
    pub options: Vec<KeyOption>,
    /// Whether a key cuts the assistant off.
    pub barge_in: bool,
    /// Whether the assistant may press keys herself.
    pub may_press: bool,
    /// Whether the record shows stars in place of keys.
    pub masked: bool,
    /// How long after a key the next may come; then the entry is complete.
    pub gap: Duration,
    /// An entry of so many keys is complete.
    pub longest: usize,
}

/// One option of the menu.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyOption {
    /// What is pressed: one key or more.
    pub keys: String,
    /// What that does.
    pub action: KeyAction,
}

/// What an option does. All but the assistant's part of it needs no model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyAction {
    /// Sends the caller to somebody.
    Transfer {
        /// What people call the destination.
        name: String,
        /// What the PBX calls it.
        destination: String,
    },
    /// The assistant says this, word for word.
    Say(String),
    /// The assistant says the announcement again.
    Repeat,
    /// Ends the call.
    HangUp,
    /// From here on keys are the assistant's to interpret.
    Assistant,
}

impl Default for Keys {
    fn default() -> Self {
        Self {
            announcement: None,
            options: Vec::new(),
            barge_in: true,
            may_press: false,
            masked: false,
            gap: Duration::from_secs(3),
            longest: 32,
        }
    }
}

impl Keys {
    /// Whether an option leads the caller out of a call whose assistant is dead.
    pub fn work_alone(&self) -> bool {
        self.options.iter().any(|option| matches!(option.action, KeyAction::Transfer { .. }))
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawKeys {
    announcement: Option<String>,
    #[serde(default)]
    options: Vec<RawOption>,
    barge_in: Option<bool>,
    masked: Option<bool>,
    may_press: Option<bool>,
    gap_ms: Option<u32>,
    longest: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawOption {
    keys: String,
    action: String,
    to: Option<String>,
    text: Option<String>,
}

/// Reads the column; transfers may name a rule, by its name or alias, or be an extension.
pub(super) fn read(text: Option<&str>, rules: &[TransferRule]) -> Result<Keys, Refused> {
    let refuse = |problem| ("dtmf_menu", problem);
    let raw: RawKeys = json("dtmf_menu", text)?;
    if raw.options.len() > MAX_OPTIONS {
        return Err(refuse(format!("{} options are more than {MAX_OPTIONS}", raw.options.len())));
    }
    let mut keys = Keys { announcement: words(raw.announcement), ..Keys::default() };
    for option in raw.options {
        let option = self::option(option, rules).map_err(refuse)?;
        if keys.options.iter().any(|other| other.keys == option.keys) {
            return Err(refuse(format!("keys {:?} are there twice", option.keys)));
        }
        keys.options.push(option);
    }
    if keys.announcement.is_none() && keys.options.iter().any(|option| option.action == KeyAction::Repeat) {
        return Err(refuse("action repeat needs an announcement".into()));
    }
    keys.barge_in = raw.barge_in.unwrap_or(keys.barge_in);
    keys.may_press = raw.may_press.unwrap_or(keys.may_press);
    keys.masked = raw.masked.unwrap_or(keys.masked);
    if let Some(ms) = raw.gap_ms {
        if !(500..=10_000).contains(&ms) {
            return Err(refuse(format!("gap_ms {ms} is outside 500 to 10000")));
        }
        keys.gap = Duration::from_millis(ms.into());
    }
    if let Some(longest) = raw.longest {
        if !(1..=MAX_ENTRY).contains(&longest) {
            return Err(refuse(format!("longest {longest} is outside 1 to {MAX_ENTRY}")));
        }
        keys.longest = longest as usize;
    }
    Ok(keys)
}

fn option(raw: RawOption, rules: &[TransferRule]) -> Result<KeyOption, String> {
    let keys = raw.keys.to_ascii_uppercase();
    if !(1..=MAX_KEYS).contains(&keys.len()) || !keys.chars().all(|key| "0123456789*#ABCD".contains(key)) {
        return Err(format!("keys {:?} are not 1 to {MAX_KEYS} of 0-9 * # A-D", raw.keys));
    }
    let (to, text) = (words(raw.to), words(raw.text));
    let action = match (raw.action.as_str(), to, text) {
        ("transfer", Some(to), None) => transfer(&to, rules).map_err(|why| format!("keys {keys:?}: {why}"))?,
        ("transfer", _, _) => return Err(format!("keys {keys:?}: transfer needs \"to\", and nothing else")),
        ("say", None, Some(text)) => KeyAction::Say(text),
        ("say", _, _) => return Err(format!("keys {keys:?}: say needs \"text\", and nothing else")),
        ("repeat", None, None) => KeyAction::Repeat,
        ("hang_up", None, None) => KeyAction::HangUp,
        ("assistant", None, None) => KeyAction::Assistant,
        ("repeat" | "hang_up" | "assistant", _, _) => {
            return Err(format!("keys {keys:?}: {} takes neither \"to\" nor \"text\"", raw.action));
        }
        (other, _, _) => {
            return Err(format!(
                "keys {keys:?}: action {other:?} is none of transfer, say, repeat, hang_up, assistant"
            ));
        }
    };
    Ok(KeyOption { keys, action })
}

fn transfer(to: &str, rules: &[TransferRule]) -> Result<KeyAction, String> {
    let wanted = to.to_lowercase();
    let named = |rule: &&TransferRule| {
        rule.enabled && (rule.name.to_lowercase() == wanted || rule.aliases.iter().any(|a| a.to_lowercase() == wanted))
    };
    if let Some(rule) = rules.iter().find(named) {
        return Ok(KeyAction::Transfer { name: rule.name.clone(), destination: rule.destination.clone() });
    }
    // A word without a digit is the name of a rule that is not there, and nobody's extension.
    if destination(to).is_err() || !to.chars().any(|c| c.is_ascii_digit()) {
        return Err(format!("{to:?} is neither an enabled transfer rule nor an extension"));
    }
    Ok(KeyAction::Transfer { name: to.to_owned(), destination: to.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Vec<TransferRule> {
        let rule = |name: &str, destination: &str, enabled| TransferRule {
            name: name.into(),
            aliases: vec!["boleto".into()],
            destination: destination.into(),
            enabled,
        };
        vec![rule("Off", "1", false), rule("Financeiro", "1000", true)]
    }

    #[test]
    fn a_menu_is_read_with_its_rules() {
        let text = r##"{"announcement": "Tecle 1.", "masked": true, "may_press": true, "barge_in": false, "gap_ms": 1500, "longest": 11,
            "options": [{"keys": "1", "action": "transfer", "to": "financeiro"},
                        {"keys": "22", "action": "transfer", "to": "*99100"},
                        {"keys": "3", "action": "say", "text": "Das 8 às 18."},
                        {"keys": "a", "action": "repeat"}, {"keys": "#", "action": "hang_up"},
                        {"keys": "0", "action": "assistant"}]}"##;
        let keys = read(Some(text), &rules()).unwrap();
        let pressed: Vec<&str> = keys.options.iter().map(|option| option.keys.as_str()).collect();
        assert_eq!(pressed, ["1", "22", "3", "A", "#", "0"]);
        let transfer =
            |name: &str, destination: &str| KeyAction::Transfer { name: name.into(), destination: destination.into() };
        assert_eq!(keys.options[0].action, transfer("Financeiro", "1000"));
        assert_eq!(keys.options[1].action, transfer("*99100", "*99100"));
        assert!(keys.work_alone() && keys.masked && keys.may_press && !keys.barge_in);
        assert_eq!((keys.gap, keys.longest), (Duration::from_millis(1_500), 11));
        assert_eq!(keys.announcement.as_deref(), Some("Tecle 1."));
        assert_eq!(read(None, &[]).unwrap(), Keys::default());
    }

    #[test]
    fn errors_name_the_option_and_what_is_allowed() {
        for (text, expected) in [
            (r#"{"options": 5}"#, "is not what is allowed there"),
            (r#"{"option": []}"#, "unknown field `option`"),
            (r#"{"gap_ms": 1}"#, "gap_ms 1 is outside 500 to 10000"),
            (r#"{"longest": 0}"#, "longest 0 is outside 1 to 64"),
            (r#"{"options": [{"keys": "x", "action": "hang_up"}]}"#, "keys \"x\" are not 1 to 8 of"),
            (r#"{"options": [{"keys": "", "action": "hang_up"}]}"#, "keys \"\" are not 1 to 8 of"),
            (r#"{"options": [{"keys": "1", "action": "fly"}]}"#, "keys \"1\": action \"fly\" is none of transfer"),
            (r#"{"options": [{"keys": "1", "action": "transfer"}]}"#, "keys \"1\": transfer needs \"to\""),
            (r#"{"options": [{"keys": "1", "action": "transfer", "to": "off"}]}"#, "\"off\" is neither an enabled"),
            (r#"{"options": [{"keys": "1", "action": "transfer", "to": "1@evil"}]}"#, "\"1@evil\" is neither"),
            (r#"{"options": [{"keys": "1", "action": "say"}]}"#, "keys \"1\": say needs \"text\""),
            (r#"{"options": [{"keys": "1", "action": "repeat"}]}"#, "repeat needs an announcement"),
            (r#"{"options": [{"keys": "1", "action": "hang_up", "to": "1000"}]}"#, "hang_up takes neither"),
            (
                r#"{"options": [{"keys": "1", "action": "hang_up"}, {"keys": "1", "action": "assistant"}]}"#,
                "keys \"1\" are there twice",
            ),
        ] {
            let (column, problem) = read(Some(text), &rules()).unwrap_err();
            assert!(column == "dtmf_menu" && problem.contains(expected), "{text}: {problem}");
        }
    }
}
