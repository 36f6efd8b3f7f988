//! What a search found, and how a model is told.
use serde_json::{Value, json};
use uuid::Uuid;

/// Most bytes of the passages a model is told, but for the first: it reads them before it says a word.
const MOST_BYTES: usize = 6_000;
/// Longest part of a passage, in characters; chunks of ours are no longer.
const LONGEST: usize = 800;

/// A chunk that has words of what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passage {
    /// Of which document.
    pub document_uuid: Uuid,
    /// What that is called.
    pub title: String,
    /// Its place in the document, from 0.
    pub ordinal: u32,
    /// The heading it stands under.
    pub heading: Option<String>,
    /// As it stands there.
    pub text: String,
}

impl Passage {
    fn told(&self) -> Value {
        let mut told = json!({"document": clipped(&self.title), "text": clipped(&self.text)});
        if let (Some(heading), Some(members)) = (&self.heading, told.as_object_mut()) {
            members.insert("section".to_owned(), clipped(heading).into());
        }
        told
    }
}

fn clipped(text: &str) -> &str {
    text.char_indices().nth(LONGEST).and_then(|(end, _)| text.get(..end)).unwrap_or(text)
}

/// The result of the tool, as JSON text of some 6 KB at the most: the best passages first, or that there is none, or, without an
/// answer, that nobody can tell.
pub fn told(found: Option<&[Passage]>) -> String {
    let Some(found) = found else {
        let reason = "what is written down cannot be searched right now: say so, and do not make anything up";
        return json!({"status": "unavailable", "reason": reason}).to_string();
    };
    let (mut passages, mut length) = (Vec::new(), 0_usize);
    for passage in found.iter().map(Passage::told) {
        length = length.saturating_add(passage.to_string().len());
        if length > MOST_BYTES && !passages.is_empty() {
            break;
        }
        passages.push(passage);
    }
    if passages.is_empty() {
        let reason = "nothing is written down about it: say so, and do not make anything up";
        return json!({"status": "nothing found", "reason": reason}).to_string();
    }
    json!({"status": "found", "passages": passages}).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passage(heading: Option<&str>, text: &str) -> Passage {
        let heading = heading.map(str::to_owned);
        Passage { document_uuid: Uuid::nil(), title: "Preços".into(), ordinal: 0, heading, text: text.into() }
    }

    fn read(found: Option<&[Passage]>) -> Value {
        serde_json::from_str(&told(found)).unwrap()
    }

    #[test]
    fn passages_are_told_with_where_they_stand() {
        let told = read(Some(&[passage(Some("Consultas"), "R$ 150,00"), passage(None, "\"Grátis\"")]));
        let first = json!({"document": "Preços", "section": "Consultas", "text": "R$ 150,00"});
        let second = json!({"document": "Preços", "text": "\"Grátis\""});
        assert_eq!(told, json!({"status": "found", "passages": [first, second]}));
    }

    #[test]
    fn nothing_and_nobody_are_told_apart() {
        assert_eq!(read(Some(&[]))["status"], "nothing found");
        assert_eq!(read(None)["status"], "unavailable");
    }

    #[test]
    fn what_is_told_is_bounded_whatever_is_found() {
        let long = passage(Some(&"é".repeat(10_000)), &"\u{1}".repeat(10_000));
        let two = read(Some(&[long.clone(), long]));
        assert_eq!(two["passages"].as_array().unwrap().len(), 1, "the first is told in any case");
        assert!(two.to_string().len() < 2 * MOST_BYTES);
        let many = vec![passage(None, &"é".repeat(10_000)); 20];
        let text = told(Some(&many));
        assert!(text.len() < MOST_BYTES + 100, "{}", text.len());
        assert_eq!(read(Some(&many))["passages"].as_array().unwrap().len(), 3);
    }
}
