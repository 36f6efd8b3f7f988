//! A session that ends while a call goes on: who speaks then is heard once, and who waits is answered.
use super::*;
use serde_json::{Value, json};

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn server(message: Value) -> Incoming {
    Incoming::Text(message.to_string())
}

impl World {
    /// A call whose session has lasted for a minute.
    fn lasted() -> Self {
        let mut world = Self::answered(|_| ());
        world.says(ms(500), None);
        world.pass(Duration::from_secs(61), false);
        world
    }

    /// The caller says something for a second, which the server tells of.
    fn speaks(&mut self) {
        let started = self.model.speech_started();
        self.pass(ms(300), true);
        self.provider(vec![started]);
        self.pass(ms(700), true);
    }

    fn stops(&mut self) {
        self.pass(ms(500), false);
        let of = |kind: &str| {
            server(json!({"type": format!("input_audio_buffer.{kind}"), "event_id": "e", "item_id": "turn"}))
        };
        self.provider(vec![of("speech_stopped"), of("committed")]);
    }

    /// The server ends the session, and the next is there after this time: what is sent since, and three tenths of a second
    /// after that.
    fn expires(&mut self, after: Duration, speaking: bool) -> Vec<Outgoing> {
        self.outgoing.clear();
        let error = json!({"type": "invalid_request_error", "code": "session_expired", "message": "m"});
        self.provider(vec![server(json!({"type": "error", "event_id": "e", "error": error}))]);
        assert!(self.events.iter().any(|event| matches!(event, Event::Reconnect(_))), "{:?}", self.events);
        self.pass(after, speaking);
        self.call.handle_connected(self.now);
        self.provider(vec![Model::created(), Model::updated()]);
        self.pass(ms(300), speaking);
        std::mem::take(&mut self.outgoing)
    }
}

/// How much audio of the caller is in it.
fn heard(outgoing: &[Outgoing]) -> Duration {
    let appends = sent(outgoing, "input_audio_buffer.append");
    let lengths = appends.iter().filter_map(|message| message["audio"].as_str());
    let bytes: usize = lengths.map(|text| base64_simd::STANDARD.decode_to_vec(text).unwrap().len()).sum();
    ms(bytes as u64 / 8)
}

fn was_asked_to_go_on(outgoing: &[Outgoing]) -> bool {
    sent(outgoing, "conversation.item.create").iter().any(|item| item.to_string().contains("There was a gap"))
}

#[test]
fn who_speaks_while_a_session_ends_is_heard_once_from_the_beginning() {
    let mut world = World::lasted();
    world.speaks();
    let sent = world.expires(ms(200), true);
    let heard = heard(&sent);
    // The beginning of a word is heard before it is known for one.
    assert!(heard >= ms(1_500) && heard <= ms(1_500) + ms(600), "{heard:?}");
    assert!(!was_asked_to_go_on(&sent), "what they say is answered");
}

#[test]
fn of_a_long_turn_nothing_is_lost_while_the_next_session_is_made() {
    let mut world = World::lasted();
    world.speaks();
    world.pass(ms(6_000), true);
    let heard = heard(&world.expires(ms(1_200), true));
    assert!(heard >= ms(8_500), "{heard:?} of the seven seconds before and the one and a half since");
}

#[test]
fn a_question_without_words_is_heard_again_and_one_with_words_is_told() {
    for has_words in [false, true] {
        let mut world = World::lasted();
        world.speaks();
        world.stops();
        if has_words {
            world.provider(vec![server(json!({
                "type": "conversation.item.input_audio_transcription.completed", "event_id": "e", "item_id": "turn",
                "content_index": 0, "transcript": "When are you open?",
            }))]);
        }
        let sent = world.expires(ms(200), false);
        let heard = heard(&sent);
        assert_eq!(was_asked_to_go_on(&sent), has_words);
        assert_eq!(heard >= ms(2_000), !has_words, "{heard:?}");
        assert!(!has_words || heard <= ms(500), "{heard:?}: the end of it is no turn of its own");
    }
}

#[test]
fn an_assistant_whose_tool_is_slow_is_not_silent() {
    let mut world = World::lasted();
    world.speaks();
    world.stops();
    let call = json!({"id": "m", "type": "mcp_call", "server_label": "s", "name": "n", "arguments": "{}"});
    world.provider(vec![
        server(json!({"type": "response.created", "event_id": "e", "response": {"id": "r"}})),
        server(json!({"type": "response.output_item.added", "event_id": "e", "response_id": "r", "item": call})),
    ]);
    world.pass(Duration::from_secs(19), false);
    let is_given_up =
        world.events.iter().any(|event| matches!(event, Event::Warning(why) if why.contains("answers nothing")));
    assert!(!is_given_up, "{:?}", world.events);
}
