//! What a tenant says of a call: the money is spent in the middle of it, and what is not kept of it.
use super::*;

const USED: &str = r#"{"type":"response.done","event_id":"e","response":{"id":"r","object":"realtime.response","status":"completed",
    "output":[],"usage":{"total_tokens":300,"input_tokens":100,"output_tokens":200,
    "input_token_details":{"text_tokens":40,"audio_tokens":60,"cached_tokens":0},
    "output_token_details":{"text_tokens":50,"audio_tokens":150}}}}"#;

fn spent(fallback: Option<&str>) -> World {
    let now = Instant::now();
    let invite = (LEG, model::invite(Some(model::offer(""))));
    let mut setup = model::setup(model::secretary(|_| ()), invite, "127.0.0.1:20000".parse().unwrap(), 7);
    setup.settings.fallback_extension = fallback.map(str::to_owned);
    let mut world = World::of(Call::new(setup, now), now);
    world.call.handle_connected(now);
    world.provider(vec![Model::created()]);
    world.provider(vec![Model::updated()]);
    world.says(Duration::from_secs(1), None);
    world.pass(Duration::from_millis(1_500), false);
    world.call.handle_budget_spent(world.now);
    world.drain();
    assert!(!world.hung_up() && !world.referred());
    world.says(Duration::from_secs(2), None);
    world.pass(Duration::from_millis(1_500), false);
    assert!(!world.hung_up() && !world.referred(), "the goodbye is being said");
    world.pass(Duration::from_millis(700), false);
    world
}

#[test]
fn the_caller_is_taken_leave_of() {
    let world = spent(None);
    assert!(world.hung_up() && !world.referred());
    let record = world.record().unwrap();
    assert_eq!((record.outcome, record.end_reason.as_str()), (Outcome::Timeout, "the budget of this month is used up"));
    let told = |what: &str| world.outgoing.iter().any(|m| matches!(m, Outgoing::Text(text) if text.contains(what)));
    assert!(told("this call has to end") && !told("budget"), "whose money it is, is no business of the caller's");
}

#[test]
fn the_caller_goes_to_the_fallback_extension() {
    let mut world = spent(Some("1000"));
    assert!(world.referred() && !world.hung_up());
    world.refer(ReferProgress::Accepted);
    world.sip(sip::Event::Bye { leg: LEG, reason: None });
    let record = world.record().unwrap();
    assert_eq!((record.outcome, record.transfer_destination.as_deref()), (Outcome::Transferred, Some("1000")));
}

#[test]
fn a_fallback_that_fails_ends_the_call_and_costs_nothing_more() {
    let mut world = spent(Some("1000"));
    world.refer(ReferProgress::Refused(486));
    world.pass(Duration::from_millis(100), false);
    assert!(world.hung_up());
    let record = world.record().unwrap();
    assert_eq!(record.outcome, Outcome::Timeout);
    assert!(record.end_reason.contains("budget") && record.end_reason.contains("1000"), "{}", record.end_reason);
}

#[test]
fn a_call_that_is_being_handed_over_goes_on() {
    let mut world = World::transferring();
    world.call.handle_budget_spent(world.now);
    world.refer(ReferProgress::Accepted);
    world.sip(sip::Event::Bye { leg: LEG, reason: None });
    assert_eq!(world.outcome(), Some(Outcome::Transferred));
}

#[test]
fn a_call_costs_nothing_on_a_day_without_a_price() {
    let now = Instant::now();
    let invite = (LEG, model::invite(Some(model::offer(""))));
    let mut setup = model::setup(model::secretary(|_| ()), invite, "127.0.0.1:20000".parse().unwrap(), 7);
    setup.started_at = chrono::DateTime::from_timestamp(1_500_000_000, 0).unwrap();
    let mut world = World::of(Call::new(setup, now), now);
    world.call.handle_connected(now);
    world.provider(vec![Model::created(), Model::updated()]);
    world.provider(vec![Incoming::Text(USED.into())]);
    assert_eq!(world.call.spent().0, 0, "in 2017 nobody sold this");
}

#[test]
fn what_a_call_has_cost_is_what_its_record_says() {
    let mut world = World::answered(|_| ());
    for turn in 1..=3 {
        world.provider(vec![Incoming::Text(USED.into())]);
        // 40 text and 60 audio tokens in, 50 and 150 out, at 4, 32, 24 and 64 dollars a million.
        assert_eq!(world.call.spent().0, turn * (160 + 1_920 + 1_200 + 9_600));
    }
    world.sip(sip::Event::Bye { leg: LEG, reason: None });
    assert_eq!(world.record().unwrap().estimated_cost, world.call.spent());
}

#[test]
fn a_tenant_that_wants_it_keeps_no_numbers_of_cards() {
    for (redact, kept) in [(true, "é [card]"), (false, "é 4111 1111 1111 1111")] {
        let now = Instant::now();
        let invite = (LEG, model::invite(Some(model::offer(""))));
        let mut setup = model::setup(model::secretary(|_| ()), invite, "127.0.0.1:20000".parse().unwrap(), 7);
        setup.secretary.of_tenant.redact = redact;
        let mut world = World::of(Call::new(setup, now), now);
        world.call.handle_connected(now);
        world.provider(vec![Model::created()]);
        world.provider(vec![Model::updated()]);
        world.provider(vec![Model::heard("é 4111 1111 1111 1111")]);
        world.sip(sip::Event::Bye { leg: LEG, reason: None });
        let record = world.record().unwrap();
        let said: Vec<&str> = record.turns.iter().map(|turn| turn.text.as_str()).collect();
        assert_eq!(said, [kept]);
    }
}
