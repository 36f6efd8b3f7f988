//! The caller is told that the call is recorded, and nothing of theirs is before they have heard it.
use super::{
    steer::{blocks, levels},
    *,
};

const NOTICE: &str = "This call is recorded.";
const FIRST: &str = "This call is recorded. Hello, how can I help you?";

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A call that is recorded, and whose caller is to be told.
fn recorded() -> World {
    let now = Instant::now();
    let invite = (LEG, model::invite(Some(model::offer(""))));
    let secretary = model::secretary(|row| row.first_message = Some(FIRST.into()));
    let mut setup = model::setup(secretary, invite, "127.0.0.1:20000".parse().unwrap(), 7);
    (setup.settings.recording.enabled, setup.secretary.recording) = (true, None);
    setup.settings.recording.notice = Some(NOTICE.into());
    let mut world = World::of(Call::new(setup, now), now);
    world.ready();
    world
}

impl World {
    /// She says it, to its end.
    fn hears_the_notice(&mut self) {
        self.says_words(NOTICE, ms(1_500));
        self.pass(ms(1_800), false);
    }

    fn says_words(&mut self, words: &str, length: Duration) {
        let mut messages = self.model.begin();
        messages.push(self.model.words(words));
        messages.extend(self.model.speak(length));
        messages.extend(self.model.finish(None));
        self.provider(messages);
    }

    /// How often the provider was asked for the notice.
    fn asked(&self) -> usize {
        let items = sent(&self.outgoing, "conversation.item.create");
        items.iter().filter(|item| item["item"]["role"] == "system" && item.to_string().contains(NOTICE)).count()
    }

    /// Whether what the caller says now is on the tape.
    fn has_the_caller(&mut self) -> bool {
        self.pass(ms(600), false);
        drop(blocks(self));
        self.pass(ms(2_000), true);
        let level = levels(&blocks(self)).0;
        assert!(level == 0 || level > 300, "half of them: {level}");
        level > 0
    }

    fn noted(&mut self, of: &str) -> bool {
        for leg in [LEG, OTHER] {
            self.sip(sip::Event::Bye { leg, reason: None });
        }
        self.record().unwrap().turns.iter().any(|turn| turn.text.contains(of))
    }

    /// The caller heard the notice, and has said something and had an answer.
    fn told() -> Self {
        let mut world = recorded();
        world.says_words(FIRST, ms(4_000));
        world.pass(ms(4_200), false);
        assert!(world.has_the_caller());
        world.pass(ms(1_500), false);
        world.says_words("Yes, hello.", ms(1_000));
        world.pass(ms(1_400), false);
        assert_eq!(world.asked(), 0);
        world
    }

    /// The caller cut the notice off, and has had an answer.
    fn interrupted() -> Self {
        let mut world = recorded();
        world.says_words(FIRST, ms(4_000));
        world.pass(ms(300), false);
        world.pass(ms(1_000), true);
        assert!(world.events.iter().any(|event| matches!(event, Event::BargeIn(_))));
        world.pass(ms(1_500), false);
        assert_eq!(world.asked(), 0, "they are answered first");
        world.says_words("Yes, hello.", ms(1_000));
        world.pass(ms(1_400), false);
        assert_eq!(world.asked(), 1);
        assert_eq!(levels(&blocks(&mut world)).0, 0, "what they said is on no tape");
        world
    }
}

#[test]
fn who_heard_the_notice_is_recorded_from_then_on_and_the_notice_is_on_the_tape() {
    let mut world = recorded();
    world.says_words(FIRST, ms(4_000));
    world.pass(ms(4_200), false);
    assert!(levels(&blocks(&mut world)).1 > 300);
    assert!(world.has_the_caller());
    assert!(world.asked() == 0 && !world.warned("recorded") && !world.noted("of the recording"));
}

#[test]
fn who_cut_the_notice_off_hears_it_again_and_is_recorded_from_then_on() {
    let mut world = World::interrupted();
    assert!(world.warned("has not heard that the call is recorded"));
    world.hears_the_notice();
    assert!(world.has_the_caller());
    assert!(world.asked() == 1 && world.noted("[told of the recording"));
}

#[test]
fn an_answer_to_who_spoke_before_the_notice_is_none() {
    let mut world = recorded();
    let first = world.model.begin();
    world.provider(first);
    world.pass(ms(1_000), true);
    let cancelled = world.model.done("cancelled", &[]);
    world.provider(vec![cancelled]);
    world.pass(ms(1_500), false);
    world.says_words("Yes, hello.", ms(1_000));
    world.pass(ms(1_400), false);
    assert_eq!((world.asked(), levels(&blocks(&mut world)).0), (1, 0));
    world.hears_the_notice();
    assert!(world.has_the_caller() && world.asked() == 1);
}

#[test]
fn who_cut_what_followed_the_notice_was_told() {
    let mut world = recorded();
    world.says_words(FIRST, ms(5_000));
    world.pass(ms(3_000), false);
    world.pass(ms(1_000), true);
    assert!(world.events.iter().any(|event| matches!(event, Event::BargeIn(_))));
    world.pass(ms(1_500), false);
    world.says_words("Yes, hello.", ms(1_000));
    world.pass(ms(1_400), false);
    assert!(world.has_the_caller() && world.asked() == 0);
}

#[test]
fn a_provider_that_dies_in_the_middle_of_the_notice_leaves_it_to_the_next() {
    let mut world = recorded();
    let mut half = world.model.begin();
    half.push(world.model.words("This call"));
    half.extend(world.model.speak(ms(1_000)));
    world.provider(half);
    world.pass(ms(400), false);
    world.breaks();
    world.pass(ms(1_600), false);
    world.outgoing.clear();
    world.ready();
    world.says_words("Where were we?", ms(1_000));
    world.pass(ms(1_400), false);
    assert_eq!(world.asked(), 1);
    world.hears_the_notice();
    assert!(world.has_the_caller() && world.asked() == 1);
}

#[test]
fn a_provider_that_dies_before_the_notice_leaves_it_to_the_first_message_of_the_next() {
    let mut world = recorded();
    world.breaks();
    world.pass(ms(1_600), false);
    world.ready();
    world.says_words(FIRST, ms(4_000));
    world.pass(ms(4_200), false);
    assert!(world.has_the_caller() && world.asked() == 0);
}

#[test]
fn a_provider_that_had_made_all_of_the_notice_may_die_while_it_is_heard() {
    let mut world = recorded();
    world.says_words(FIRST, ms(4_000));
    world.pass(ms(500), false);
    world.breaks();
    world.pass(ms(1_600), false);
    world.ready();
    world.pass(ms(2_500), false);
    assert!(world.has_the_caller() && world.asked() == 0);
}

#[test]
fn a_provider_that_never_says_the_notice_is_asked_three_times_and_the_record_says_why_nobody_is_heard() {
    let mut world = World::interrupted();
    for _ in 0..3 {
        world.says_words("What can I do for you?", ms(1_500));
        world.pass(ms(1_800), false);
    }
    assert!(world.asked() == 3 && world.warned("asked for three times"), "{}", world.asked());
    assert!(!world.has_the_caller());
    assert!(world.noted("[not told of the recording"));
}

#[test]
fn who_takes_the_call_over_hears_the_notice_before_they_are_recorded() {
    let mut world = World::told();
    let commands = world.taken_over(Some(model::offer("")));
    assert!(matches!(&commands[..], [Command::TakeOver { leg: OTHER, .. }]), "{commands:?}");
    world.pass(ms(500), false);
    assert_eq!(world.asked(), 1);
    drop(blocks(&mut world));
    world.pass(ms(1_000), true);
    world.pass(ms(1_500), false);
    assert_eq!(levels(&blocks(&mut world)).0, 0, "what they said is on no tape");
    world.hears_the_notice();
    assert!(world.has_the_caller());
    assert!(world.asked() == 1 && world.noted("[told of the recording"));
}

#[test]
fn who_was_told_is_recorded_on_where_the_takeover_was_cancelled() {
    let mut world = World::told();
    drop(world.taken_over(Some(model::offer(""))));
    world.sip(sip::Event::Cancelled { leg: OTHER, reason: None });
    assert!(world.has_the_caller() && world.asked() == 0);
}

#[test]
fn who_takes_the_call_over_by_an_offer_of_ours_is_told_once_they_can_hear_it() {
    let mut world = World::told();
    let commands = world.taken_over(None);
    assert!(matches!(&commands[..], [Command::TakeOver { leg: OTHER, .. }]), "{commands:?}");
    assert!(!world.has_the_caller());
    world.pass(ms(1_500), false);
    world.says_words("Yes, hello.", ms(1_000));
    world.pass(ms(1_400), false);
    assert_eq!(world.asked(), 0, "before the ACK it would be said to the phone that is gone");
    world.sip(sip::Event::Established { leg: OTHER, sdp: Some(Body::from(model::offer(""))) });
    world.pass(ms(500), false);
    assert_eq!(world.asked(), 1);
    world.hears_the_notice();
    assert!(world.has_the_caller() && world.asked() == 1);
}

#[test]
fn who_takes_the_call_over_and_is_not_told_is_in_no_recording_and_the_record_says_so() {
    let mut world = World::told();
    drop(world.taken_over(Some(model::offer(""))));
    world.pass(ms(300), false);
    assert!(!world.has_the_caller());
    assert!(world.noted("[who took the call over was not told of the recording"));
}
