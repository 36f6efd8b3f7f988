//! What the administrator of a tenant does with a call that is up: looks at it, hangs it up, transfers it, listens in.
use super::*;
use media::recording::Block;
use ramal::call::{LiveState, NotDone, RecordingNow, steer::Order as Wish};

const BY_ORDER: &str = "ended by the administrator";

fn to(name: &str) -> Wish {
    Wish::Transfer { to: name.into() }
}

impl World {
    fn order(&mut self, wish: &Wish) -> Result<(), NotDone> {
        let done = self.call.handle_order(wish, self.now);
        self.drain();
        done
    }

    fn state(&self) -> Option<LiveState> {
        self.call.standing().map(|standing| standing.state)
    }

    /// The goodbye at the time limit is being said.
    fn closing() -> Self {
        let mut world = Self::answered(|row| row.max_duration_seconds = Some(5));
        world.pass(Duration::from_millis(5_100), false);
        world.says(Duration::from_secs(3), None);
        world.pass(Duration::from_millis(500), false);
        world
    }

    /// The caller has had an answer and speaks again.
    fn speaking() -> Self {
        let mut world = Self::answered(|_| ());
        world.pass(Duration::from_secs(1), true);
        world.pass(Duration::from_millis(1_500), false);
        world.says(Duration::from_secs(1), None);
        world.pass(Duration::from_millis(1_200), false);
        world.pass(Duration::from_secs(1), true);
        world
    }

    fn ended(&self, outcome: Outcome, reason: &str) {
        let record = self.record().unwrap();
        assert_eq!((record.outcome, record.end_reason.as_str()), (outcome, reason));
        assert!(self.call.is_over() && self.state().is_none());
    }
}

#[test]
fn a_call_that_rings_is_declined() {
    let mut world = World::ringing(|_| ());
    assert_eq!(world.state(), Some(LiveState::Ringing));
    for wish in [to("sales"), Wish::SayGoodbye] {
        assert_eq!(world.order(&wish), Err(NotDone::NotNow(LiveState::Ringing)));
    }
    assert_eq!(world.order(&Wish::HangUp), Ok(()));
    assert!(matches!(world.commands.as_slice(), [_, Command::Reject { status: 603, .. }]));
    world.ended(Outcome::Abandoned, BY_ORDER);
    for wish in [to("sales"), Wish::SayGoodbye, Wish::HangUp] {
        assert_eq!(world.order(&wish), Err(NotDone::Over));
    }
}

#[test]
fn a_call_whose_media_are_not_agreed_is_hung_up() {
    let now = Instant::now();
    let invite = (LEG, model::invite(None));
    let setup = model::setup(model::secretary(|_| ()), invite, "127.0.0.1:20000".parse().unwrap(), 7);
    let mut world = World::of(Call::new(setup, now), now);
    world.call.handle_connected(world.now);
    world.provider(vec![Model::created(), Model::updated()]);
    assert_eq!(world.state(), Some(LiveState::Ringing));
    assert_eq!(world.order(&to("sales")), Err(NotDone::NotNow(LiveState::Ringing)));
    assert_eq!(world.order(&Wish::HangUp), Ok(()));
    assert!(world.hung_up());
    world.ended(Outcome::Abandoned, BY_ORDER);
}

#[test]
fn a_call_that_talks_is_hung_up_at_once() {
    for (mut world, outcome) in [(World::answered(|_| ()), Outcome::Abandoned), (World::speaking(), Outcome::Completed)]
    {
        assert_eq!(world.state(), Some(LiveState::Talking));
        assert_eq!(world.order(&Wish::HangUp), Ok(()));
        assert!(world.hung_up() && !world.referred());
        world.ended(outcome, BY_ORDER);
    }
}

#[test]
fn what_is_being_said_is_cut_and_the_record_has_what_was_heard() {
    let mut world = World::answered(|_| ());
    world.says(Duration::from_secs(8), None);
    world.pass(Duration::from_secs(2), false);
    assert_eq!(world.order(&Wish::HangUp), Ok(()));
    let turn = &world.record().unwrap().turns[0];
    let heard = turn.heard.unwrap();
    assert!(turn.cut && heard.abs_diff(Duration::from_secs(2)) <= Duration::from_millis(60), "{turn:?}");
}

#[test]
fn a_transfer_is_no_refuge() {
    type Step = (&'static [ReferProgress], Outcome, bool);
    const YES: ReferProgress = ReferProgress::Notified { status: 200, terminated: true };
    let steps: [Step; 3] = [
        (&[], Outcome::Abandoned, false),
        (&[ReferProgress::Accepted], Outcome::Abandoned, false),
        (&[ReferProgress::Accepted, YES], Outcome::Transferred, true),
    ];
    for (news, outcome, went) in steps {
        let mut world = World::transferring();
        news.iter().for_each(|progress| world.refer(*progress));
        for wish in [to("sales"), Wish::SayGoodbye] {
            assert_eq!(world.order(&wish), Err(NotDone::NotNow(LiveState::Transferring)));
        }
        assert_eq!(world.order(&Wish::HangUp), Ok(()));
        assert!(world.hung_up());
        let record = world.record().unwrap();
        assert_eq!((record.outcome, record.transfer_destination.is_some()), (outcome, went), "{news:?}");
    }
}

#[test]
fn a_goodbye_is_cut_short_but_not_sent_elsewhere() {
    let mut world = World::closing();
    assert_eq!(world.state(), Some(LiveState::Closing));
    for wish in [to("sales"), Wish::SayGoodbye] {
        assert_eq!(world.order(&wish), Err(NotDone::NotNow(LiveState::Closing)));
    }
    assert_eq!(world.order(&Wish::HangUp), Ok(()));
    assert!(world.hung_up());
    let reason = "ended by the administrator; it was ending: the time limit of this call is reached";
    world.ended(Outcome::Timeout, reason);
}

#[test]
fn a_goodbye_by_order_is_heard_to_its_end() {
    let mut world = World::answered(|_| ());
    world.says(Duration::from_secs(8), None);
    world.pass(Duration::from_secs(1), false);
    assert_eq!(world.order(&Wish::SayGoodbye), Ok(()));
    world.says(Duration::from_secs(1), None);
    world.pass(Duration::from_millis(700), false);
    assert!(!world.hung_up(), "it is being said");
    world.pass(Duration::from_millis(500), false);
    assert!(world.hung_up());
    world.ended(Outcome::Abandoned, BY_ORDER);
}

#[test]
fn a_goodbye_that_nobody_is_there_to_say_is_none() {
    let mut world = World::speaking();
    world.call.handle_disconnected(Disconnect::Closed(None), world.now);
    world.drain();
    assert_eq!(world.order(&Wish::SayGoodbye), Ok(()));
    world.pass(Duration::from_millis(20), false);
    world.ended(Outcome::Completed, BY_ORDER);
}

#[test]
fn a_transfer_by_order_is_announced_and_takes_the_way_of_the_assistants_own() {
    for asked in ["sales", "the SALES desk", "1001"] {
        let mut world = World::answered(|_| ());
        world.says(Duration::from_secs(8), None);
        world.pass(Duration::from_secs(1), false);
        assert_eq!(world.order(&to(asked)), Ok(()));
        assert_eq!(world.state(), Some(LiveState::Transferring));
        assert!(!world.referred(), "it is to be announced");
        world.says(Duration::from_secs(1), None);
        world.pass(Duration::from_millis(700), false);
        assert!(!world.referred(), "the announcement is being heard");
        world.pass(Duration::from_millis(600), false);
        assert!(world.referred() && !world.hung_up());
        world.refer(ReferProgress::Accepted);
        world.sip(sip::Event::Bye { leg: LEG, reason: None });
        let record = world.record().unwrap();
        assert_eq!((record.outcome, record.transfer_destination.as_deref()), (Outcome::Transferred, Some("1001")));
        let noted = |turn: &ramal::record::TurnRecord| turn.text == "[the administrator transfers the call to 1001]";
        assert!(record.turns.iter().any(noted), "{:?}", record.turns);
    }
}

#[test]
fn a_caller_who_speaks_is_transferred_within_the_deadline_of_the_announcement() {
    let mut world = World::speaking();
    assert_eq!(world.order(&to("sales")), Ok(()));
    world.pass(Duration::from_millis(9_900), true);
    assert!(!world.referred());
    world.pass(Duration::from_millis(200), true);
    assert!(world.referred());
}

#[test]
fn a_busy_target_gives_the_caller_back_from_a_transfer_by_order() {
    let mut world = World::answered(|_| ());
    assert_eq!(world.order(&to("sales")), Ok(()));
    world.says(Duration::from_secs(1), None);
    world.pass(Duration::from_millis(1_300), false);
    world.refer(ReferProgress::Refused(486));
    assert_eq!(world.state(), Some(LiveState::Talking));
    let told = sent(&world.outgoing, "conversation.item.create");
    assert!(told.iter().any(|item| item.to_string().contains("the line is busy")), "{told:?}");
}

#[test]
fn nobody_goes_where_the_secretary_may_not_transfer() {
    let mut world = World::speaking();
    let before = world.commands.len();
    for asked in ["boss", "+15550100", "sip:evil@example.com", ""] {
        assert_eq!(world.order(&to(asked)), Err(NotDone::NoSuchDestination(vec!["sales".into()])), "{asked}");
    }
    world.pass(Duration::from_secs(1), false);
    assert_eq!((world.state(), world.commands.len()), (Some(LiveState::Talking), before));
}

/// A call whose tenant lets people listen, recorded or not.
fn open_to_listeners(recorded: bool) -> World {
    let now = Instant::now();
    let invite = (LEG, model::invite(Some(model::offer(""))));
    let mut setup = model::setup(model::secretary(|_| ()), invite, "127.0.0.1:20000".parse().unwrap(), 7);
    (setup.settings.listen_in, setup.settings.recording.enabled, setup.secretary.recording) = (true, recorded, None);
    let mut world = World::of(Call::new(setup, now), now);
    world.call.handle_connected(now);
    world.provider(vec![Model::created()]);
    world.provider(vec![Model::updated()]);
    world
}

pub(super) fn blocks(world: &mut World) -> Vec<Block> {
    std::iter::from_fn(|| world.call.poll_recorded()).collect()
}

/// The mean level of the caller's side and of the assistant's.
pub(super) fn levels(blocks: &[Block]) -> (u64, u64) {
    let side = |which: usize| {
        let samples = blocks.iter().flat_map(|block| block.samples.iter().skip(which).step_by(2));
        let (mut sum, mut count) = (0, 0_u64);
        for sample in samples {
            (sum, count) = (sum + u64::from(sample.unsigned_abs()), count + 1);
        }
        sum / count.max(1)
    };
    (side(0), side(1))
}

#[test]
fn nobody_listens_where_it_is_not_allowed() {
    let mut world = World::answered(|_| ());
    assert_eq!(world.call.handle_listener("eve", world.now), Err(NotDone::NotAllowed));
    world.pass(Duration::from_secs(2), true);
    assert!(blocks(&mut world).is_empty());
}

#[test]
fn a_listener_hears_both_sides_and_the_record_says_who_it_was() {
    let mut world = open_to_listeners(false);
    world.pass(Duration::from_secs(2), false);
    let (id, rate) = world.call.handle_listener("ana", world.now).unwrap();
    assert_eq!((rate.hz(), world.call.standing().unwrap().listeners), (8_000, 1));
    world.pass(Duration::from_secs(2), true);
    let caller = levels(&blocks(&mut world));
    world.pass(Duration::from_millis(600), false);
    drop(blocks(&mut world)); // the end of it
    world.says(Duration::from_secs(3), None);
    world.pass(Duration::from_secs(2), false);
    let assistant = levels(&blocks(&mut world));
    assert!(caller.0 > 300 && caller.1 < 20, "left and right while the caller spoke: {caller:?}");
    assert!(assistant.0 < 20 && assistant.1 > 300, "and while the assistant did: {assistant:?}");
    world.call.handle_listener_gone(id, world.now);
    world.pass(Duration::from_secs(2), true);
    assert!(blocks(&mut world).is_empty(), "nobody listens, and nothing is taped");
    world.sip(sip::Event::Bye { leg: LEG, reason: None });
    let record = world.record().unwrap();
    assert!(record.recording.is_none() && !world.call.is_recorded(), "what was heard is kept nowhere");
    let [listened] = &record.listened[..] else { panic!("{:?}", record.listened) };
    let seconds = (listened.from.as_secs_f64(), listened.to.as_secs_f64());
    assert!(
        listened.who == "ana" && (1.9..2.1).contains(&seconds.0) && (6.5..6.7).contains(&seconds.1),
        "{listened:?}"
    );
}

#[test]
fn a_pause_of_the_recording_is_one_for_the_listener() {
    let mut world = open_to_listeners(true);
    assert_eq!(world.call.standing().unwrap().recording, RecordingNow::Yes);
    let (id, _) = world.call.handle_listener("ana", world.now).unwrap();
    assert!(world.call.handle_recording(Order::Pause, world.now));
    assert_eq!(world.call.standing().unwrap().recording, RecordingNow::Paused);
    world.pass(Duration::from_secs(2), true);
    let heard = blocks(&mut world);
    assert!(heard.len() > 70 && levels(&heard) == (0, 0), "{} {:?}", heard.len(), levels(&heard));
    world.call.handle_listener_gone(id, world.now);
    world.pass(Duration::from_secs(1), true);
    assert!(blocks(&mut world).len() > 40, "it is recorded on");
    world.sip(sip::Event::Bye { leg: LEG, reason: None });
    assert!(world.record().unwrap().recording.is_some() && world.call.is_recorded());
}

#[test]
fn who_listens_changes_nothing_that_is_sent() {
    let sent = |listens: bool| {
        let mut world = open_to_listeners(false);
        if listens {
            world.call.handle_listener("ana", world.now).unwrap();
        }
        world.says(Duration::from_secs(2), None);
        world.pass(Duration::from_secs(3), false);
        world.pass(Duration::from_secs(1), true);
        let at = |packet: &Instant| packet.duration_since(world.began);
        (world.voice.iter().map(at).collect::<Vec<_>>(), world.outgoing.len())
    };
    assert_eq!(sent(true), sent(false));
}

#[test]
fn listeners_beyond_the_bound_are_refused() {
    let mut world = open_to_listeners(false);
    let ids: Vec<_> = (0..4).map(|_| world.call.handle_listener("ana", world.now).unwrap().0).collect();
    assert_eq!(world.call.handle_listener("eva", world.now), Err(NotDone::TooMany));
    world.call.handle_listener_gone(ids[0], world.now);
    world.call.handle_listener_gone(ids[0], world.now);
    assert_eq!(world.call.standing().unwrap().listeners, 3);
    // Each time is written down; one that could not be is refused.
    let mut times = 4;
    while let Ok((id, _)) = world.call.handle_listener("eva", world.now) {
        world.call.handle_listener_gone(id, world.now);
        times += 1;
    }
    assert_eq!(times, 64);
    world.sip(sip::Event::Bye { leg: LEG, reason: None });
    assert_eq!(world.record().unwrap().listened.len(), 64);
}
