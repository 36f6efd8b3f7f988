//! What calls were used for and what that cost, on both databases.
use super::*;
use crate::record::Share;
use chrono::Utc;
use chrono_tz::Tz;

/// A process that has no calls.
const NOBODY: Uuid = Uuid::nil();

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn november() -> Period {
    (at("2026-11-01T00:00:00Z"), at("2026-12-01T00:00:00Z"))
}

async fn secretaries(store: &Sql) -> (Secretary, Secretary) {
    for domain in ["a.example", "b.example"] {
        store.upsert_secretary(&entry(domain, "8000", "Ana")).await.unwrap();
    }
    (found(store, "8000", Some("a.example")).await, found(store, "8000", Some("b.example")).await)
}

fn share(provider: &str, seconds: u64, micros: u64) -> Share {
    let (provider, talked) = (provider.to_owned(), Duration::from_secs(seconds));
    Share { provider, talked, input_tokens: 10, output_tokens: 1, cost: MicroUsd(micros) }
}

/// A conversation of then, with these shares.
fn costing(of: &Secretary, started_at: &str, shares: Vec<Share>) -> Conversation {
    Conversation { started_at: at(started_at), estimated_cost: Share::sum(&shares), shares, ..conversation(of) }
}

pub(super) async fn a_month_costs_what_its_calls_cost(scratch: Scratch) {
    let store = &scratch.store;
    let (ana, bia) = secretaries(store).await;
    // Beyond what `estimated_cost` holds, which has four decimals.
    for (secretary, started_at, micros) in [
        (&ana, "2026-10-31T23:59:59.999Z", 1_000),
        (&ana, "2026-11-01T00:00:00Z", 12_345),
        (&ana, "2026-11-15T12:00:00.5Z", 7),
        (&ana, "2026-11-30T23:59:59Z", 3),
        (&ana, "2026-12-01T00:00:00Z", 1_000),
        (&bia, "2026-11-15T12:00:00Z", 1_000),
    ] {
        // One without shares is of an earlier version.
        let shares = if micros == 7 { Vec::new() } else { vec![share("openai", 1, micros)] };
        let kept = Conversation { estimated_cost: MicroUsd(micros), ..costing(secretary, started_at, shares) };
        store.save_conversation(&kept).await.unwrap();
        let all = store.conversations(20).await.unwrap();
        assert!(all.iter().any(|kept| kept.estimated_cost == MicroUsd(micros)), "{all:?}");
    }
    assert_eq!(store.spent(ana.domain_uuid, november(), NOBODY).await.unwrap(), MicroUsd(12_355));
    let january = (at("2027-01-01T00:00:00Z"), at("2027-02-01T00:00:00Z"));
    assert_eq!(store.spent(ana.domain_uuid, january, NOBODY).await.unwrap(), MicroUsd(0));
}

pub(super) async fn what_is_erased_has_been_paid_for_and_what_is_saved_again_is_paid_for_once(scratch: Scratch) {
    let store = &scratch.store;
    let (ana, _) = secretaries(store).await;
    let kept = costing(&ana, "2026-11-15T12:00:00Z", vec![share("openai", 60, 500), share("local", 9, 0)]);
    let domain = ana.domain_uuid;
    let spent = async || store.spent(domain, november(), NOBODY).await.unwrap();
    for _ in 0..2 {
        store.save_conversation(&kept).await.unwrap();
        assert_eq!(spent().await, MicroUsd(500));
    }
    // What was left of a call that broke after it had its record says nothing more.
    let other = Conversation { shares: vec![share("azure", 60, 900)], ..kept.clone() };
    store.save_conversation(&other).await.unwrap();
    assert_eq!(spent().await, MicroUsd(500));
    assert!(store.forget(domain, kept.conversation_uuid).await.unwrap());
    assert_eq!(spent().await, MicroUsd(500), "erasing gives no money back");
    store.save_conversation(&kept).await.unwrap();
    assert_eq!(spent().await, MicroUsd(500));
    store.forget(domain, kept.conversation_uuid).await.unwrap();
    execute(store, "delete from v_domains".into()).await;
    assert_eq!(spent().await, MicroUsd(500), "and so it is when the tenant goes");
}

pub(super) async fn a_bill_stands_in_place_of_the_estimate(scratch: Scratch) {
    let store = &scratch.store;
    let (ana, _) = secretaries(store).await;
    let kept = costing(&ana, "2026-11-15T12:00:00Z", vec![share("openai", 60, 500), share("elevenlabs", 9, 70)]);
    let (domain, uuid) = (ana.domain_uuid, kept.conversation_uuid);
    store.save_conversation(&kept).await.unwrap();
    store.forget(domain, uuid).await.unwrap();
    for _ in 0..2 {
        assert!(store.bill(domain, uuid, ("elevenlabs", MicroUsd(90))).await.unwrap(), "it is paid all the same");
    }
    assert!(!store.bill(Uuid::new_v4(), uuid, ("elevenlabs", MicroUsd(1))).await.unwrap(), "of another tenant");
    assert_eq!(store.spent(domain, november(), NOBODY).await.unwrap(), MicroUsd(590));
    let used = store.used(domain, november(), Grouping::Provider).await.unwrap();
    let costs: Vec<_> = used.iter().map(|used| (used.of.as_str(), used.cost.0)).collect();
    assert_eq!(costs, [("elevenlabs", 90), ("openai", 500)]);
}

pub(super) async fn what_a_call_has_cost_so_far_is_known_to_others_and_after_its_process_was_killed(scratch: Scratch) {
    let store = &scratch.store;
    let (ana, _) = secretaries(store).await;
    let (domain, here, there) = (ana.domain_uuid, Uuid::new_v4(), Uuid::new_v4());
    let kept = costing(&ana, "2026-11-15T12:00:00Z", vec![share("openai", 60, 500)]);
    let so_far = |micros| Spending { shares: vec![share("openai", 10, micros)], ..Spending::from(&kept) };
    let spent = async |node| store.spent(domain, november(), node).await.unwrap().0;
    for micros in [100, 200] {
        store.note_spending(&so_far(micros), here).await.unwrap();
        assert_eq!((spent(here).await, spent(there).await), (0, micros), "here it is known better");
    }
    store.save_conversation(&kept).await.unwrap();
    store.note_spending(&so_far(300), here).await.unwrap();
    assert_eq!((spent(here).await, spent(there).await), (500, 500), "a note that came late changes nothing");
    let stranger = Spending { domain: Uuid::new_v4(), conversation: Uuid::new_v4(), ..so_far(7) };
    store.note_spending(&stranger, here).await.unwrap();
    store.note_spending(&Spending { conversation: stranger.conversation, ..so_far(9_000) }, here).await.unwrap();
    assert_eq!(spent(there).await, 500, "of another tenant's call nobody else says anything");
    // The record that is made up for a process that was killed: it knows how long the call was, and not what it cost.
    let killed = costing(&ana, "2026-11-15T12:00:00Z", vec![share("openai", 0, 0)]);
    let noted = Spending { shares: vec![share("openai", 10, 70)], ..Spending::from(&killed) };
    store.note_spending(&noted, here).await.unwrap();
    store.save_conversation(&killed).await.unwrap();
    assert_eq!(spent(there).await, 570, "what was noted of it stands");
}

pub(super) async fn usage_is_told_by_day_secretary_and_provider_of_its_tenant_alone(scratch: Scratch) {
    let store = &scratch.store;
    let (ana, bia) = secretaries(store).await;
    for (of, started_at, shares) in [
        (&ana, "2026-11-10T02:59:59Z", vec![share("openai", 30, 100)]),
        (&ana, "2026-11-10T03:00:00.25Z", vec![share("openai", 20, 50), share("local", 40, 0)]),
        (&ana, "2026-12-01T00:00:00Z", vec![share("openai", 9, 9)]),
        (&bia, "2026-11-10T12:00:00Z", vec![share("openai", 9, 9)]),
    ] {
        store.save_conversation(&costing(of, started_at, shares)).await.unwrap();
    }
    // One that neither lasted nor cost anything was none.
    let refused = Conversation { audio: Duration::ZERO, ..costing(&ana, "2026-11-10T03:00:00Z", Vec::new()) };
    store.save_conversation(&refused).await.unwrap();
    let told = async |by| {
        let used = store.used(ana.domain_uuid, november(), by).await.unwrap();
        used.into_iter()
            .map(|used| (used.of, used.calls, used.talked.as_secs(), used.cost.0, used.input_tokens))
            .collect::<Vec<_>>()
    };
    let text = |text: &str| text.to_owned();
    let sao_paulo = Grouping::Day(Tz::America__Sao_Paulo);
    assert_eq!(told(sao_paulo).await, [(text("2026-11-09"), 1, 30, 100, 10), (text("2026-11-10"), 1, 60, 50, 20)]);
    assert_eq!(told(Grouping::Day(Tz::UTC)).await, [(text("2026-11-10"), 2, 90, 150, 30)]);
    assert_eq!(told(Grouping::Provider).await, [(text("local"), 1, 40, 0, 10), (text("openai"), 2, 50, 150, 20)]);
    let hers = ana.secretary_realtime_uuid.to_string();
    assert_eq!(told(Grouping::Secretary).await, [(hers, 2, 90, 150, 30)]);
}

pub(super) async fn an_alert_is_claimed_once(scratch: Scratch) {
    let (domain, other) = (Uuid::new_v4(), Uuid::new_v4());
    let claims = [
        (domain, "2026-11", 80, true),
        (domain, "2026-11", 80, false),
        (other, "2026-11", 80, true),
        (domain, "2026-12", 80, true),
        (domain, "2026-11", 160, true),
    ];
    for (domain, month, at, ours) in claims {
        assert_eq!(scratch.store.claim_alert(domain, month, MicroUsd(at)).await.unwrap(), ours, "{month} {at}");
    }
}

pub(super) async fn what_was_kept_before_there_was_a_ledger_is_in_it(scratch: Scratch) {
    let store = &scratch.store;
    let (ana, _) = secretaries(store).await;
    let mut kept = costing(&ana, "2026-11-15T12:00:00Z", vec![share("openai", 60, 500)]);
    kept.provider = "openai".into();
    let older = costing(&ana, "2026-11-16T12:00:00Z", Vec::new());
    for (kept, columns) in
        [(&kept, "billed_cost = 0.0007"), (&older, "cost_micro_usd = null, estimated_cost = 0.5, transcript = null")]
    {
        store.save_conversation(kept).await.unwrap();
        let which = kept.conversation_uuid;
        let sql = format!("update v_voice_conversations_realtime set {columns} where conversation_uuid = '{which}'");
        execute(store, sql).await;
    }
    execute(
        store,
        "drop table v_voice_usage; drop table v_voice_budget_alerts; \
         delete from _ramal_migrations where version = 20261126180000"
            .into(),
    )
    .await;
    let store = &open(&scratch.database).await.unwrap();
    let used = store.used(ana.domain_uuid, november(), Grouping::Provider).await.unwrap();
    let told: Vec<_> = used.iter().map(|used| (used.of.as_str(), used.cost.0, used.talked.as_millis())).collect();
    assert_eq!(told, [("openai", 700, 42_250), ("unknown", 500_000, 42_250)]);
    assert_eq!(used[0].input_tokens, 1_234);
}
