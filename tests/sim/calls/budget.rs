//! What a tenant says of a call: the money is spent in the middle of it, and what is not kept of it.
use super::*;
use ramal::call::Rung;

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

fn told(world: &World, what: &str) -> bool {
    world.outgoing.iter().any(|message| matches!(message, Outgoing::Text(text) if text.contains(what)))
}

/// The assistant says goodbye, and the call ends for want of money.
fn ends(mut world: World) {
    assert!(told(&world, "this call has to end") && !world.hung_up());
    world.says(Duration::from_secs(1), None);
    world.pass(Duration::from_millis(1_500), false);
    assert!(world.hung_up());
    assert_eq!(world.record().unwrap().end_reason, "the budget of this month is used up");
}

#[test]
fn a_caller_who_comes_back_from_a_transfer_is_taken_leave_of() {
    let mut world = World::transferring();
    world.call.handle_budget_spent(world.now);
    world.refer(ReferProgress::Accepted);
    assert!(!told(&world, "this call has to end"), "nobody listens");
    world.refer(ReferProgress::Notified { status: 486, terminated: true });
    ends(world);
}

#[test]
fn a_provider_on_its_way_takes_leave_when_it_has_come() {
    let mut world = World::answered(|_| ());
    world.call.handle_disconnected(Disconnect::Closed(Some((1000, String::new()))), world.now);
    world.call.handle_budget_spent(world.now);
    world.drain();
    world.call.handle_connected(world.now);
    world.provider(vec![Model::created()]);
    assert!(!told(&world, "this call has to end"));
    world.provider(vec![Model::updated()]);
    ends(world);
}

#[test]
fn without_money_nobody_takes_over_who_asks_for_some() {
    for (spent, connections) in [(false, 2), (true, 1)] {
        let now = Instant::now();
        let invite = (LEG, model::invite(Some(model::offer(""))));
        let mut setup = model::setup(model::secretary(|_| ()), invite, "127.0.0.1:20000".parse().unwrap(), 7);
        setup.below = vec![setup.rung.clone()];
        let mut world = World::of(Call::new(setup, now), now);
        world.call.handle_connected(now);
        world.provider(vec![Model::created()]);
        world.provider(vec![Model::updated()]);
        if spent {
            world.says(Duration::from_secs(1), Some(("transfer", r#"{"destination":"sales"}"#)));
            world.call.handle_budget_spent(world.now);
        }
        world.call.handle_disconnected(Disconnect::Refused(401), world.now);
        world.drain();
        let connects = world.events.iter().filter(|event| matches!(event, Event::Connect(_))).count();
        assert_eq!(connects, connections, "spent: {spent}");
    }
}

#[test]
fn a_rule_that_is_called_fallback_is_a_rule_like_any_other() {
    let rules = r#"[{"name":"fallback","destination":"1001"}]"#;
    let mut world = World::answered(|row| row.transfer_rules = Some(rules.into()));
    world.says(Duration::from_secs(1), Some(("transfer", r#"{"destination":"fallback"}"#)));
    world.pass(Duration::from_millis(1_200), false);
    assert!(world.referred());
    world.refer(ReferProgress::Refused(486));
    world.pass(Duration::from_secs(1), false);
    assert!(!world.hung_up() && told(&world, "the line is busy"), "the caller is with the assistant again");
}

#[test]
fn what_each_provider_had_of_a_call_adds_up_to_it() {
    let now = Instant::now();
    let invite = (LEG, model::invite(Some(model::offer(""))));
    let mut setup = model::setup(model::secretary(|_| ()), invite, "127.0.0.1:20000".parse().unwrap(), 7);
    let Rung::OpenAi(config) = setup.rung.clone() else { panic!("the model is OpenAI's") };
    setup.below = vec![Rung::Azure { model: config.model.clone(), config }];
    let mut world = World::of(Call::new(setup, now), now);
    world.call.handle_connected(now);
    world.provider(vec![Model::created()]);
    world.provider(vec![Model::updated(), Incoming::Text(USED.into())]);
    world.pass(Duration::from_secs(3), false);
    world.call.handle_disconnected(Disconnect::Refused(401), world.now);
    world.drain();
    world.call.handle_connected(world.now);
    world.provider(vec![Model::created()]);
    world.provider(vec![Model::updated(), Incoming::Text(USED.into()), Incoming::Text(USED.into())]);
    world.pass(Duration::from_secs(2), false);
    world.sip(sip::Event::Bye { leg: LEG, reason: None });
    let record = world.record().unwrap();
    let shares: Vec<_> = record.shares.iter().map(|share| (&*share.provider, share.cost.0, share.talked)).collect();
    let second = Duration::from_secs(1);
    assert_eq!(shares, [("openai", 12_880, 3 * second), ("azure", 2 * 12_880, 2 * second)]);
    assert_eq!((record.estimated_cost.0, record.audio), (3 * 12_880, 5 * second));
    assert_eq!(record.shares.iter().map(|share| share.input_tokens).sum::<u64>(), record.input_tokens);
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
