//! `/v1/secretaries/{id}/test-call`: the server calls one of its secretaries, as a phone would, and tells what became of it.
use super::{
    endpoint::Endpoint,
    house::{TestCall, TestReport},
    input::{Id, Json, Query},
    page::Whose,
    problem::Problem,
    rehearsals::LONGEST,
    scope::Scope,
};
use crate::phone::EndedBy;
use axum::routing::MethodFilter;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{ops::RangeInclusive, time::Duration};
use uuid::Uuid;

pub(super) const PATH: &str = "/v1/secretaries/{id}/test-call";
/// How long the answer may take to begin: it is told when the call is over.
pub(super) const PATIENCE: Duration = Duration::from_secs(100);
/// How long a call may last, in seconds.
const SECONDS: RangeInclusive<u32> = 5..=60;
/// Where nothing is said.
const USUAL: u32 = 15;

/// How she is called.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TestCallBody {
    /// What the caller says when she has greeted, by a voice of this server.
    #[schemars(length(min = 1, max = 300), example = &"What are your opening hours?")]
    pub(super) say: Option<String>,
    /// When the caller hangs up, in seconds after the answer; 15 if it is not said.
    #[schemars(range(min = 5, max = 60), example = 10)]
    pub(super) seconds: Option<u32>,
}

/// What became of the call, as the caller's phone saw it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(super) struct TestCallView {
    /// Its conversation, which is kept some moments after its end; null where the call came to none.
    pub(super) conversation_uuid: Option<Uuid>,
    /// The last status of the INVITE; null where none came.
    pub(super) sip_status: Option<u16>,
    /// From the INVITE to the answer.
    pub(super) answered_ms: Option<u64>,
    /// From the answer to the first sound of hers.
    pub(super) first_audio_ms: Option<u64>,
    /// From the caller's last word to her reply.
    pub(super) reply_ms: Option<u64>,
    /// How long she was heard to speak.
    pub(super) assistant_spoke_ms: u64,
    /// From the answer to the end.
    pub(super) lasted_ms: u64,
    /// What the audio was sent in.
    pub(super) codec: Option<String>,
    /// Whether the caller said something.
    pub(super) said: bool,
    /// Why the caller had no voice, if there was something to say.
    pub(super) unsaid: Option<String>,
    /// Who ended it: `caller` (it was time), `assistant`, `refusal`, or `nobody` (it broke).
    pub(super) ended_by: &'static str,
    /// The reason that came with the end.
    pub(super) reason: Option<String>,
}

impl From<TestReport> for TestCallView {
    fn from(TestReport { conversation, unsaid, phone }: TestReport) -> Self {
        let answered = phone.answered_ms.map(|_| 200);
        let (sip_status, ended_by, reason) = match phone.ended_by {
            Some(EndedBy::Us) => (answered, "caller", None),
            Some(EndedBy::FarEnd { reason }) => (answered, "assistant", reason),
            Some(EndedBy::Refused { status, .. }) => (Some(status), "refusal", None),
            Some(EndedBy::UnusableAnswer) => (Some(200), "nobody", Some("the answer could not be used".to_owned())),
            Some(EndedBy::Lost) | None => (answered, "nobody", None),
        };
        Self {
            conversation_uuid: conversation,
            sip_status,
            answered_ms: phone.answered_ms.map(whole),
            first_audio_ms: phone.first_voice_ms.map(whole),
            reply_ms: phone.turns.first().map(|turn| whole(turn.latency_ms)),
            assistant_spoke_ms: u64::try_from(phone.recording.heard_voice().as_millis()).unwrap_or(u64::MAX),
            lasted_ms: whole(phone.duration_ms),
            codec: Some(phone.codec).filter(|codec| !codec.is_empty()),
            said: phone.clips > 0,
            unsaid,
            ended_by,
            reason,
        }
    }
}

fn whole(milliseconds: f64) -> u64 {
    milliseconds.round() as u64
}

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::new(
            (MethodFilter::POST, PATH),
            ("testCall", "Calls a secretary over SIP, and tells what became of it when the call is over"),
            call,
        )
        .query::<Whose>()
        .body::<TestCallBody>()
        .json::<TestCallView>(200),
    ]
}

async fn call(
    scope: Scope,
    Id(id): Id,
    _: Query<Whose>,
    Json(TestCallBody { say, seconds }): Json<TestCallBody>,
) -> Result<axum::Json<TestCallView>, Problem> {
    // Who is not there is absent, whatever is to be said to her.
    scope.secretary(id).await?;
    if say.as_ref().is_some_and(|say| say.trim().is_empty() || say.chars().count() > LONGEST) {
        return Err(Problem::field("say", format!("must have 1 to {LONGEST} characters")));
    }
    let seconds = seconds.unwrap_or(USUAL);
    if !SECONDS.contains(&seconds) {
        return Err(Problem::field("seconds", format!("must be {} to {}", SECONDS.start(), SECONDS.end())));
    }
    let lasts = Duration::from_secs(seconds.into());
    Ok(axum::Json(scope.test_call(id, TestCall { say, lasts }).await??.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phone::Report;

    #[test]
    fn how_a_call_ended_is_told_with_its_status() {
        let view = |answered_ms, ended_by| {
            let phone = Report { answered_ms, ended_by, ..Report::default() };
            let view = TestCallView::from(TestReport { conversation: None, unsaid: None, phone });
            (view.sip_status, view.ended_by, view.reason)
        };
        let refused = EndedBy::Refused { status: 486, contacts: Vec::new() };
        assert_eq!(view(None, Some(refused)), (Some(486), "refusal", None));
        assert_eq!(view(Some(3.6), Some(EndedBy::Us)), (Some(200), "caller", None));
        assert_eq!(view(None, Some(EndedBy::Us)), (None, "caller", None));
        let reason = Some("SIP;cause=200".to_owned());
        let hung_up = EndedBy::FarEnd { reason: reason.clone() };
        assert_eq!(view(Some(3.6), Some(hung_up)), (Some(200), "assistant", reason));
        assert_eq!(view(Some(3.6), Some(EndedBy::Lost)), (Some(200), "nobody", None));
    }
}
