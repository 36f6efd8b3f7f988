use super::*;
use crate::{
    call::{Event, LiveState, RecordingNow, Standing},
    record::{MicroUsd, Outcome},
    secretary::{Identity, Secretary, SecretaryRow},
};
use media::{Law, SampleRate, recording::Block};
use providers::openai;
use sip::{IncomingInvite, LegId, ListenerId as SipListener, Transport};
use std::time::Instant;

const ANA: Uuid = Uuid::from_u128(0xa);
const BIA: Uuid = Uuid::from_u128(0xb);

fn facts(domain: Uuid, conversation: u128) -> Facts {
    let identity =
        Identity { secretary_realtime_uuid: Uuid::from_u128(1), domain_uuid: domain, domain_name: "a.example".into() };
    let row = SecretaryRow {
        secretary_name: "Ana".into(),
        extension: Some("8000".into()),
        realtime_provider: "openai".into(),
        enabled: Some(true),
        ..SecretaryRow::default()
    };
    let invite = IncomingInvite {
        listener: SipListener(0),
        remote: "127.0.0.1:9".parse().unwrap(),
        user: None,
        transport: Transport::Udp,
        call_id: "x".into(),
        request_user: "8000".into(),
        request_host: "a.example".into(),
        from_user: "5511999".into(),
        from_display: String::new(),
        to_user: "8000".into(),
        x_headers: Vec::new(),
        offer: None,
    };
    Facts {
        leg: LegId(1),
        invite,
        secretary: Secretary::parse(identity, row).unwrap(),
        conversation_uuid: Uuid::from_u128(conversation),
        clock: (Utc::now(), Instant::now()),
    }
}

fn rung() -> Rung {
    Rung::OpenAi(Box::new(openai::Config::new("sk-test", openai::Format::G711(Law::Mu))))
}

/// A switchboard whose calls do whatever is asked, and the conversations that were asked.
fn obedient() -> (Switchboard, Arc<Mutex<Vec<Uuid>>>) {
    let (wishes, mut heard) = broadcast::channel::<Wish>(16);
    let asked: Arc<Mutex<Vec<Uuid>>> = Arc::default();
    let log = Arc::clone(&asked);
    tokio::spawn(async move {
        let mut listeners = Listeners::default();
        while let Ok(wish) = heard.recv().await {
            let Which::Conversation(uuid) = wish.call else { panic!("by a name that a phone chose") };
            log.lock().unwrap().push(uuid);
            match wish.wanted {
                Wanted::Steer(_, answer) => answer.try_send(Ok(())).unwrap(),
                Wanted::Listen(_, answer) => {
                    let listener = listeners.add(crate::call::ListenerId::default(), SampleRate::HZ_8000);
                    answer.try_send(Ok(listener)).unwrap();
                }
                Wanted::Record(..) => panic!("nobody asked for that"),
            }
        }
    });
    (Switchboard::start(wishes), asked)
}

/// Whatever a tenant asks of whichever conversation: only its own calls hear of it, and it cannot tell those of others from
/// those that are not there.
#[tokio::test]
async fn another_tenants_call_is_as_one_that_is_not_there() {
    let (board, asked) = obedient();
    let domains: Vec<Uuid> = (1..=5).map(Uuid::from_u128).collect();
    let owner = |conversation: u128| domains[(conversation % 5) as usize];
    let up: Vec<u128> = (100..120).collect();
    let cords: Vec<Cord> = up.iter().map(|n| board.plug(&facts(owner(*n), *n), &rung())).collect();
    for domain in &domains {
        let own: Vec<u128> = up.iter().copied().filter(|n| owner(*n) == *domain).collect();
        let seen: Vec<u128> = board.calls(Some(*domain)).iter().map(|call| call.conversation_uuid.as_u128()).collect();
        assert_eq!(seen, own);
        for conversation in 90..130 {
            let uuid = Uuid::from_u128(conversation);
            let is_own = own.contains(&conversation);
            let want = is_own.then_some(()).ok_or(OrderError::NotFound);
            asked.lock().unwrap().clear();
            for order in [Order::HangUp, Order::SayGoodbye, Order::Transfer { to: "sales".into() }] {
                let done = board.order(Some(*domain), uuid, order).await;
                assert_eq!(done, want);
            }
            let heard = board.listen(Some(*domain), uuid, "ana").await;
            assert_eq!(heard.err(), (!is_own).then_some(ListenError::NotFound));
            assert_eq!(board.call(Some(*domain), uuid).is_some(), is_own);
            assert_eq!(*asked.lock().unwrap(), vec![uuid; if is_own { 4 } else { 0 }]);
        }
    }
    assert_eq!(board.calls(None).len(), up.len(), "the administrator sees all");
    assert_eq!(board.order(None, Uuid::from_u128(100), Order::HangUp).await, Ok(()));
    drop(cords);
    assert!(board.calls(None).is_empty());
    assert_eq!(board.order(None, Uuid::from_u128(100), Order::HangUp).await, Err(OrderError::NotFound));
}

const fn standing(state: LiveState, spent: u64) -> Standing<'static> {
    Standing {
        state,
        answered: true,
        recording: RecordingNow::Yes,
        provider: "local",
        model: "flite",
        spent: MicroUsd(spent),
        listeners: 1,
        crypto: Some("AES_CM_128_HMAC_SHA1_80"),
    }
}

#[tokio::test]
async fn a_call_is_shown_as_it_stands_and_nobody_who_looks_holds_it_up() {
    let (board, _) = obedient();
    let mut cord = board.plug(&facts(ANA, 1), &rung());
    let first = board.calls(Some(ANA)).remove(0);
    assert_eq!((first.state, first.answered_at, first.provider.as_str()), (LiveState::Ringing, None, "openai"));
    let shown = board.locked().values().next().unwrap().upgrade().unwrap();
    let looking = shown.lock().unwrap();
    cord.show(Some(standing(LiveState::Talking, 7))); // would hang here
    assert_eq!(looking.state, LiveState::Ringing);
    drop(looking);
    drop(shown);
    cord.show(Some(standing(LiveState::Talking, 7)));
    let call = board.call(Some(ANA), first.conversation_uuid).unwrap();
    assert_eq!((call.state, call.spent_micro_usd, call.listeners), (LiveState::Talking, 7, 1));
    assert_eq!((call.provider.as_str(), call.model.as_str(), call.recording), ("local", "flite", RecordingNow::Yes));
    assert_eq!((first.crypto, call.crypto.as_deref()), (None, Some("AES_CM_128_HMAC_SHA1_80")));
    assert!(call.answered_at.is_some() && call.state_since >= first.state_since && call.spent_at.is_some());
    cord.show(Some(standing(LiveState::Talking, 7)));
    assert_eq!(board.calls(None), [call]);
    cord.show(None);
    assert!(
        board.calls(None).is_empty(),
        "a call that is over is up no more, also while its record waits for the disk"
    );
}

/// The events that are there by now.
async fn told(events: &mut Events) -> Vec<Told> {
    let mut told = Vec::new();
    while let Ok(Some(event)) = timeout(Duration::from_millis(100), events.next()).await {
        told.push(event);
    }
    told
}

fn what(told: &[Told]) -> Vec<&Happening> {
    told.iter()
        .filter_map(|told| match told {
            Told::Event(_, entry) => Some(&entry.what),
            Told::Missed(_) => None,
        })
        .collect()
}

#[tokio::test]
async fn a_tenant_hears_what_happens_on_its_calls_and_resumes_where_it_was() {
    let (board, _) = obedient();
    let (mut ana, mut bia, mut all) = (board.events(Some(ANA)), board.events(Some(BIA)), board.events(None));
    let mut cord = board.plug(&facts(ANA, 1), &rung());
    cord.note(&Event::Answered);
    cord.note(&Event::CallerText("my card is 4111".into()));
    drop(cord); // its task broke
    let heard = told(&mut ana).await;
    let id = Uuid::from_u128(1);
    let [Happening::CallBegan { caller, .. }, Happening::CallAnswered { conversation_uuid }, turn, ended] =
        &what(&heard)[..]
    else {
        panic!("{heard:?}")
    };
    assert_eq!((caller.as_str(), *conversation_uuid), ("5511999", id));
    assert!(matches!(turn, Happening::TurnFinished { .. }) && !format!("{heard:?}").contains("4111"));
    assert!(matches!(ended, Happening::CallEnded { outcome: Outcome::Failed, .. }));
    assert!(told(&mut bia).await.is_empty(), "another tenant hears nothing");
    assert_eq!(what(&told(&mut all).await).len(), 4);
    let Told::Event(second, _) = heard[1] else { panic!("{heard:?}") };
    let again = told(&mut board.events_after(Some(ANA), second)).await;
    assert_eq!(again, heard[2..]);
    let foreign = told(&mut board.events_after(Some(BIA), second)).await;
    assert!(what(&foreign).is_empty(), "a number of one tenant opens nothing of it to another");
}

fn block(n: u64) -> Arc<Block> {
    Arc::new(Block { at: n * 160, rate: SampleRate::HZ_8000, samples: vec![0; 320] })
}

#[tokio::test]
async fn a_slow_listener_loses_the_oldest_and_is_told_how_much_and_one_that_goes_is_noticed() {
    let mut listeners = Listeners::default();
    let mut slow = listeners.add(crate::call::ListenerId::default(), SampleRate::HZ_8000);
    assert!(listeners.push(&block(0)).is_empty());
    assert_eq!(slow.next().await.unwrap().missed, 0);
    (1..=138).for_each(|n| drop(listeners.push(&block(n))));
    let sound = slow.next().await.unwrap();
    assert_eq!((sound.missed, sound.samples.at), (10 * 160, 11 * 160));
    assert_eq!(slow.next().await.unwrap().missed, 0);
    drop(slow);
    assert_eq!(listeners.push(&block(139)).len(), 1);
    assert!(listeners.push(&block(140)).is_empty());
    let mut last = listeners.add(crate::call::ListenerId::default(), SampleRate::HZ_8000);
    drop(listeners);
    assert_eq!(last.next().await, None, "the call is over");
}

#[tokio::test]
async fn an_order_that_is_not_taken_in_time_is_not_carried_out_later() {
    let (wishes, mut heard) = broadcast::channel::<Wish>(16);
    let board = Switchboard::start(wishes);
    let cord = board.plug(&facts(ANA, 1), &rung());
    let began = Instant::now();
    assert_eq!(board.order(Some(ANA), Uuid::from_u128(1), Order::HangUp).await, Err(OrderError::Busy));
    assert!(began.elapsed() >= CALL_ANSWER);
    let Ok(Wish { wanted: Wanted::Steer(_, answer), .. }) = heard.recv().await else { panic!("no order") };
    assert!(answer.is_closed());
    drop(cord);
}
