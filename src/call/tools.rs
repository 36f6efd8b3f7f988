//! The two tools every assistant has: send the caller to somebody, and hang up.
use crate::secretary::TransferRule;
use providers::openai::Tool;
use serde::Deserialize;
use serde_json::json;

/// What a tool call asks for, validated.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// Send the caller to whoever is called this.
    Transfer { destination: String },
    /// Hang up when what is being said has been heard.
    EndCall,
    /// No such tool, or arguments that are not ours; the text is for the model.
    Unknown(String),
}

#[derive(Deserialize)]
struct TransferArguments {
    destination: String,
}

/// Reads a tool call. Arguments come from a model and are trusted with nothing.
pub(super) fn request(name: &str, arguments: &str) -> Request {
    match name {
        "transfer" => match serde_json::from_str::<TransferArguments>(arguments) {
            Ok(TransferArguments { destination }) => Request::Transfer { destination },
            Err(_) => Request::Unknown("transfer needs {\"destination\": \"<name>\"}".to_owned()),
        },
        "end_call" => Request::EndCall,
        _ => Request::Unknown(format!("there is no tool called {name}")),
    }
}

/// The tools of a secretary with these rules, as JSON schemas. Without rules there is nowhere to transfer to.
pub fn tools(rules: &[TransferRule]) -> Vec<Tool> {
    let names: Vec<&str> = rules.iter().filter(|rule| rule.enabled).map(|rule| rule.name.as_str()).collect();
    let transfer = (!names.is_empty()).then(|| Tool {
        name: "transfer".to_owned(),
        description: "Transfers the caller to a person or department. Say in one short sentence that you are \
                      transferring before you call it."
            .to_owned(),
        parameters: json!({
            "type": "object",
            "properties": {"destination": {"type": "string", "enum": names}},
            "required": ["destination"]
        }),
    });
    let end_call = Tool {
        name: "end_call".to_owned(),
        description: "Ends the phone call. Say goodbye before you call it.".to_owned(),
        parameters: json!({"type": "object", "properties": {}}),
    };
    transfer.into_iter().chain([end_call]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_of_a_model_are_read_or_refused_in_words() {
        let destination = "sales".to_owned();
        assert_eq!(request("transfer", r#"{"destination":"sales"}"#), Request::Transfer { destination });
        for broken in ["", "{}", "[]", r#"{"destination":5}"#] {
            assert!(matches!(request("transfer", broken), Request::Unknown(_)), "{broken}");
        }
        assert_eq!(request("end_call", ""), Request::EndCall);
        assert!(matches!(request("rm", "{}"), Request::Unknown(_)));
    }
}
