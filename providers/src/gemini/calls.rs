//! Calls of tools, and what becomes of them when the conversation goes on from a moment before they were made.
use crate::dialect::Respond;
use std::collections::VecDeque;

/// Calls that are remembered; beyond it the oldest is forgotten.
const REMEMBERED: usize = 16;

#[derive(Debug)]
struct Call {
    id: String,
    name: String,
    standing: Standing,
}

#[derive(Debug)]
enum Standing {
    /// The server waits for its answer.
    Asked,
    /// The server took it back.
    Cancelled,
    /// Answered, and the server has given no handle since: the answer is lost with the connection.
    Answered { output: String, respond: Respond },
    /// Made of a session that is gone; the one there is knows nothing of it.
    Past,
}

/// What to do with an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It is sent as the answer to the call of this tool.
    Respond(String),
    /// It is told in words.
    Tell(String),
    /// Nobody wants it.
    Drop,
    /// Nobody asked.
    Unasked,
}

/// The calls of a conversation.
#[derive(Debug, Default)]
pub(super) struct Calls(VecDeque<Call>);

impl Calls {
    /// The server made a call.
    pub(super) fn made(&mut self, id: String, name: String) {
        if self.0.len() >= REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back(Call { id, name, standing: Standing::Asked });
    }

    /// The server took calls back.
    pub(super) fn cancelled(&mut self, ids: &[String]) {
        for call in self.0.iter_mut().filter(|call| ids.contains(&call.id)) {
            if let Standing::Asked = call.standing {
                call.standing = Standing::Cancelled;
            }
        }
    }

    /// A call was answered.
    pub(super) fn answered(&mut self, id: &str, output: &str, respond: Respond) -> Answer {
        let Some(index) = self.0.iter().position(|call| call.id == id) else { return Answer::Unasked };
        let Some(call) = self.0.get_mut(index) else { return Answer::Unasked };
        let name = call.name.clone();
        match call.standing {
            Standing::Asked => {
                call.standing = Standing::Answered { output: output.to_owned(), respond };
                return Answer::Respond(name);
            }
            Standing::Answered { .. } => return Answer::Unasked,
            Standing::Cancelled | Standing::Past => {}
        }
        let was_made_before = matches!(call.standing, Standing::Past);
        self.0.remove(index);
        match respond {
            Respond::Yes if was_made_before => Answer::Tell(in_words(&name, output)),
            Respond::Yes | Respond::No => Answer::Drop,
        }
    }

    /// The server can go on from here: it has the answers.
    pub(super) fn kept(&mut self) {
        self.0.retain(|call| !matches!(call.standing, Standing::Answered { .. }));
    }

    /// The conversation goes on from before these calls: the answers that are to be told, in words.
    pub(super) fn go_back(&mut self) -> Vec<String> {
        let mut told = Vec::new();
        self.0.retain_mut(|call| match &call.standing {
            Standing::Asked | Standing::Past => {
                call.standing = Standing::Past;
                true
            }
            Standing::Answered { output, respond: Respond::Yes } => {
                told.push(in_words(&call.name, output));
                false
            }
            Standing::Answered { respond: Respond::No, .. } | Standing::Cancelled => false,
        });
        told
    }
}

fn in_words(name: &str, output: &str) -> String {
    format!(
        "There was a gap on the line. Before it you called {name}, and this is the answer: {output}. Do not call it \
         again for this, and tell the caller what matters of it."
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_goes_to_the_session_that_asked_or_is_told_in_words_once() {
        let mut calls = Calls::default();
        calls.made("a".into(), "transfer".into());
        calls.made("b".into(), "transfer".into());
        assert_eq!(calls.answered("a", "busy", Respond::Yes), Answer::Respond("transfer".into()));
        assert_eq!(calls.answered("a", "busy", Respond::Yes), Answer::Unasked);
        assert_eq!(calls.go_back(), [in_words("transfer", "busy")]);
        assert_eq!(calls.answered("b", "busy", Respond::Yes), Answer::Tell(in_words("transfer", "busy")));
        assert_eq!(calls.answered("b", "busy", Respond::Yes), Answer::Unasked);
        assert_eq!(calls.go_back(), [""; 0]);
    }

    #[test]
    fn what_the_server_has_or_took_back_is_not_told_again() {
        let mut calls = Calls::default();
        for id in ["a", "b", "c"] {
            calls.made(id.into(), "transfer".into());
        }
        calls.answered("a", "busy", Respond::Yes);
        calls.kept();
        calls.cancelled(&["b".into()]);
        calls.answered("c", "dialling", Respond::No);
        assert_eq!(calls.go_back(), [""; 0]);
        assert_eq!(calls.answered("b", "busy", Respond::Yes), Answer::Unasked);
    }
}
