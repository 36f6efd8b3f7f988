//! The caller's keys: entries for the model, and a menu that outlives it.
use super::*;

/// A secretary with a menu of keys.
fn with_menu(row: &mut SecretaryRow) {
    row.dtmf_menu = Some(
        r#"{"announcement": "For sales press 1.", "options": [
            {"keys": "1", "action": "transfer", "to": "sales"}, {"keys": "2", "action": "say", "text": "Nine to six."},
            {"keys": "9", "action": "hang_up"}, {"keys": "0", "action": "assistant"}]}"#
            .into(),
    );
}

impl World {
    /// The caller presses a key.
    fn press(&mut self, key: char) {
        let body = format!("Signal={key}\r\nDuration=160\r\n").into_bytes();
        self.sip(sip::Event::Info { leg: LEG, content_type: "application/dtmf-relay".into(), body: body.into() });
    }

    fn dies(&mut self) {
        self.call.handle_disconnected(Disconnect::Closed(None), self.now);
        self.drain();
    }

    /// What the model was told of keys.
    pub(super) fn keyed(&self) -> Vec<String> {
        let items = sent(&self.outgoing, "conversation.item.create");
        let texts = items.iter().filter_map(|item| item["item"]["content"][0]["text"].as_str());
        texts.filter(|text| text.contains("pressed")).map(str::to_owned).collect()
    }
}

#[test]
fn keys_reach_the_model_as_one_entry() {
    let mut world = World::answered(|_| ());
    for key in "1234#".chars() {
        world.press(key);
        world.pass(Duration::from_millis(300), false);
    }
    assert_eq!(world.keyed(), ["The caller pressed 1234#"]);
    world.press('7');
    world.pass(Duration::from_millis(2_900), false);
    assert_eq!(world.keyed().len(), 1, "more may follow");
    world.pass(Duration::from_millis(200), false);
    assert_eq!(world.keyed(), ["The caller pressed 1234#", "The caller pressed 7"]);
    world.sip(sip::Event::Bye { leg: LEG, reason: None });
    let texts: Vec<&str> = world.record().unwrap().turns.iter().map(|turn| turn.text.as_str()).collect();
    assert_eq!(texts, ["[DTMF 1234#]", "[DTMF 7]"]);
}

#[test]
fn keys_that_nobody_may_read_are_stars_in_the_record() {
    let mut world = World::answered(|row| row.dtmf_menu = Some(r#"{"masked": true}"#.into()));
    "4111#".chars().for_each(|key| world.press(key));
    world.sip(sip::Event::Bye { leg: LEG, reason: None });
    assert_eq!(world.record().unwrap().turns[0].text, "[DTMF *****]");
}

#[test]
fn a_key_of_the_menu_transfers_at_once_and_the_caller_may_come_back() {
    let mut world = World::answered(with_menu);
    world.says(Duration::from_secs(5), None);
    world.pass(Duration::from_millis(500), false);
    world.press('1');
    let refer = world.commands.iter().find_map(|command| match command {
        Command::Refer { refer_to, .. } => Some(refer_to.as_str()),
        _ => None,
    });
    assert!(refer.is_some_and(|to| to.starts_with("sip:1001@")), "{refer:?}");
    assert!(world.events.iter().any(|event| matches!(event, Event::BargeIn(_))));
    assert_eq!(world.keyed(), [""; 0], "the model has no part in it");
    world.refer(ReferProgress::Refused(486));
    world.press('0');
    assert_eq!(world.keyed(), ["The caller pressed 0"]);
    "12#".chars().for_each(|key| world.press(key));
    assert_eq!(world.keyed(), ["The caller pressed 0", "The caller pressed 12#"], "the keys are the assistant's");
}

#[test]
fn the_menu_works_when_the_model_is_silent_or_dead() {
    let mut silent = World::answered(with_menu);
    silent.pass(Duration::from_secs(20), false);
    silent.press('1');
    assert!(silent.referred());

    let mut dead = World::answered(with_menu);
    dead.dies();
    dead.pass(Duration::from_secs(9), false);
    assert!(!dead.call.is_over() && !dead.referred());
    dead.press('2'); // nobody is there to say it
    dead.press('5'); // no option
    dead.pass(Duration::from_secs(9), false);
    dead.press('1');
    assert!(dead.referred());
    dead.refer(ReferProgress::Refused(486));
    dead.pass(Duration::from_secs(5), false);
    dead.press('9');
    assert!(dead.hung_up());
    assert_eq!(dead.outcome(), Some(Outcome::Completed));
}

#[test]
fn a_caller_of_a_dead_model_who_presses_nothing_is_not_kept() {
    let mut world = World::answered(with_menu);
    world.dies();
    world.pass(Duration::from_secs(11), false);
    assert!(world.hung_up());
    let record = world.record().unwrap();
    assert_eq!(record.outcome, Outcome::Failed);
    assert!(record.end_reason.ends_with("the caller pressed no key of the menu"), "{}", record.end_reason);
}
