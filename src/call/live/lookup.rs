//! What the assistant looks up in the knowledge of her tenant. It is not at hand: it is asked for outside, and she waits no longer for
//! it than a caller would.
use super::{Desk, Event, Live, Phase};
use crate::{
    call::{Call, State, tools},
    knowledge::{self, Passage},
};
use providers::{Respond, ToolCallId};
use serde_json::json;
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};
use uuid::Uuid;

/// How long the answer to a question may take: the caller hears nothing meanwhile.
pub const PATIENCE: Duration = Duration::from_secs(2);
/// How long what was found may wait for the end of what the caller is saying.
pub const AT_THE_LATEST: Duration = Duration::from_secs(10);
/// Questions that wait for their answers at once.
const MOST: usize = 4;
/// Questions in a row, without a word of anybody in between.
const MOST_IN_A_ROW: u32 = 3;

/// Which question of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LookupId(pub u64);

/// A question to whoever keeps the knowledge of tenants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lookup {
    /// To answer with.
    pub id: LookupId,
    /// The tenant.
    pub domain: Uuid,
    /// Its collection, unless that is gone, or another's: then nothing is found.
    pub collection: Uuid,
    /// What is asked, in words.
    pub question: String,
}

/// The questions of a call. Those of a provider that is gone are nobody's.
#[derive(Debug, Default)]
pub(in crate::call) struct Lookups {
    asked: VecDeque<Asked>,
    /// What the assistant is yet to be told.
    found: VecDeque<Found>,
    unsent: VecDeque<Lookup>,
    /// How many there were.
    count: u64,
    /// And since somebody last said something.
    in_a_row: u32,
}

/// A question that waits for its answer.
#[derive(Debug)]
struct Asked {
    id: LookupId,
    tool: ToolCallId,
    /// What is asked, as it may be written down.
    noted: String,
    by: Instant,
}

/// An answer that waits until the caller has stopped: who speaks is not spoken to.
#[derive(Debug)]
struct Found {
    tool: ToolCallId,
    output: String,
    by: Instant,
}

impl Lookups {
    fn are_many(&self) -> bool {
        self.asked.len() + self.found.len() >= MOST
    }

    const fn are_without_end(&self) -> bool {
        self.in_a_row >= MOST_IN_A_ROW
    }

    /// The caller hears something, or says it.
    pub(in crate::call) const fn broke_off(&mut self) {
        self.in_a_row = 0;
    }

    /// A question in words, with those that may be written down.
    fn ask(
        &mut self,
        tool: ToolCallId,
        (domain, collection): (Uuid, Uuid),
        (question, noted): (String, String),
        now: Instant,
    ) {
        let id = LookupId(self.count);
        self.count += 1;
        self.in_a_row += 1;
        self.unsent.push_back(Lookup { id, domain, collection, question });
        self.asked.push_back(Asked { id, tool, noted, by: now + PATIENCE });
    }

    fn take(&mut self, id: LookupId) -> Option<Asked> {
        let at = self.asked.iter().position(|asked| asked.id == id)?;
        self.asked.remove(at)
    }

    fn overdue(&mut self, now: Instant) -> Option<Asked> {
        if self.asked.front()?.by > now {
            return None;
        }
        self.asked.pop_front()
    }

    /// Whether what was found has waited for the caller long enough.
    fn is_told_late(&self, now: Instant) -> bool {
        self.found.front().is_some_and(|found| found.by <= now)
    }

    /// Whoever asked is gone.
    pub(in crate::call) fn forget(&mut self) {
        self.asked.clear();
        self.found.clear();
        self.unsent.clear();
    }

    pub(super) fn deadline(&self) -> Option<(Instant, &'static str)> {
        let asked = self.asked.front().map(|asked| (asked.by, "answer of the knowledge"));
        let found = self.found.front().map(|found| (found.by, "end of a turn, to tell what was found"));
        asked.into_iter().chain(found).min()
    }
}

impl Call {
    /// The next question to whoever keeps the knowledge; answered with [`Self::handle_found`].
    pub fn poll_lookup(&mut self) -> Option<Lookup> {
        self.desk.lookups.unsent.pop_front()
    }

    /// What was found, the best first; `None` where nobody can tell. An answer that comes too late changes nothing.
    pub fn handle_found(&mut self, id: LookupId, found: Option<&[Passage]>, now: Instant) {
        let Some(asked) = self.desk.lookups.take(id) else { return };
        if let State::Live(live) = &mut self.state {
            live.on_found(asked, found, &mut self.desk, now);
        }
        self.settle(now);
    }
}

impl Live {
    /// The assistant looks something up.
    pub(super) fn on_search_tool(&mut self, id: ToolCallId, question: String, desk: &mut Desk, now: Instant) {
        let domain = desk.secretary.domain_uuid;
        let refusal = match desk.secretary.knowledge() {
            None => "there is nothing to look it up in",
            Some(_) if desk.lookups.are_many() => "too much is being looked up already; wait for that",
            Some(_) if desk.lookups.are_without_end() => {
                // By whomever turns are heard: this step has no deadline of its own.
                self.debt.wait(Some(now + desk.settings.ladder.answer));
                "enough was looked up; answer the caller with what you have, or say that you do not know"
            }
            Some(collection) => {
                // The model may ask for what was said in a pause of the recording, and may be answered after it.
                let noted = desk.log.transcript.quoted(&question, now);
                return desk.lookups.ask(id, (domain, collection), (question, noted), now);
            }
        };
        self.want_answer(desk.settings.ladder.answer, desk, now);
        let output = json!({"status": "refused", "reason": refusal});
        self.provider.answer_tool(id, output.to_string(), Respond::Yes, now);
    }

    /// The assistant calls a tool, and so does something about what it owes. To look things up on and on is nothing.
    pub(super) fn tool_called(&mut self, name: &str, desk: &Desk) {
        if name != tools::SEARCH || !desk.lookups.are_without_end() {
            self.debt.begun();
        }
    }

    /// Whoever was asked takes too long.
    pub(super) fn mind_lookups(&mut self, desk: &mut Desk, now: Instant) {
        while let Some(asked) = desk.lookups.overdue(now) {
            self.on_found(asked, None, desk, now);
        }
    }

    fn on_found(&mut self, asked: Asked, found: Option<&[Passage]>, desk: &mut Desk, now: Instant) {
        let Asked { tool, noted, .. } = asked;
        let came = match found {
            Some(passages) => format!("{} found", passages.len()),
            None => {
                desk.emit(Event::Warning("what the assistant looked up was not answered".to_owned()));
                "no answer".to_owned()
            }
        };
        desk.log.transcript.note(format!("[looked up {noted}: {came}]"), now);
        desk.lookups.found.push_back(Found { tool, output: knowledge::told(found), by: now + AT_THE_LATEST });
    }

    /// Tells the assistant what was found; true if there was something to tell. Whoever speaks is not spoken to: it waits
    /// for the end of that, since a cough or a word to somebody else is answered by nobody, and this is owed all the same.
    pub(super) fn tell_found(&mut self, desk: &mut Desk, now: Instant) -> bool {
        let speaks = self.speaking || self.kept.in_turn();
        // Who is being put through, or said goodbye to, is told nothing more.
        let respond = match self.phase {
            Phase::Talking if speaks && !desk.lookups.is_told_late(now) => return false,
            Phase::Talking => Respond::Yes,
            Phase::Transferring(_) | Phase::Closing { .. } => Respond::No,
        };
        let Some(Found { tool, output, .. }) = desk.lookups.found.pop_front() else { return false };
        if respond == Respond::Yes {
            self.want_answer(desk.settings.ladder.answer, desk, now);
        }
        self.provider.answer_tool(tool, output, respond, now);
        true
    }
}
