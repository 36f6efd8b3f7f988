//! Two endpoints over a network that loses, delays, doubles and reorders; and one endpoint against nonsense.
use super::*;
use crate::endpoint::random::Random;

const CALLER: &str = "192.0.2.1:5060";
const CALLEE: &str = "192.0.2.2:5060";

/// Who has what to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Side {
    Caller,
    Callee,
}

struct World {
    now: Instant,
    caller: Endpoint,
    callee: Endpoint,
    random: Random,
    loss_percent: u64,
    flying: BTreeMap<(Instant, u64), (Side, Transmit)>,
    plans: BTreeMap<(Instant, u64), (Side, Plan)>,
    count: u64,
    legs: BTreeMap<Side, LegId>,
    ends: BTreeMap<Side, usize>,
    established: BTreeMap<Side, usize>,
    reinvites: BTreeMap<Side, usize>,
    outcomes: BTreeMap<Side, usize>,
    rung: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plan {
    Answer,
    Accept,
    Reinvite,
    Info,
    Refer,
    Bye,
}

impl World {
    fn new(seed: u64, loss_percent: u64) -> Self {
        let now = epoch();
        let endpoint = |address: &str, seed| {
            let listener = Listener { id: UDP, transport: Transport::Udp, address: address.parse().unwrap() };
            let (user_agent, listeners, policy) = (String::new(), vec![listener], Policy::everybody());
            let config = Config { user_agent, listeners, max_legs: 2, policy, session_expires: SESSION_EXPIRES };
            Endpoint::new(config, seed)
        };
        let mut world = Self {
            now,
            caller: endpoint(CALLER, seed),
            callee: endpoint(CALLEE, seed + 1_000_000),
            random: Random::new(seed),
            loss_percent,
            flying: BTreeMap::new(),
            plans: BTreeMap::new(),
            count: 0,
            legs: BTreeMap::new(),
            ends: BTreeMap::new(),
            established: BTreeMap::new(),
            reinvites: BTreeMap::new(),
            outcomes: BTreeMap::new(),
            rung: 0,
        };
        let invite = OutgoingInvite {
            targets: vec![register::target(Transport::Udp, CALLEE)],
            route: vec![],
            to: format!("sip:1000@{CALLEE}"),
            from: format!("sip:2000@{CALLER}"),
            from_display: String::new(),
            sdp: OFFER.into(),
            // Every other caller wants to be sure of the ringing.
            x_headers: if seed % 2 == 1 { vec![("Require".into(), "100rel".into())] } else { vec![] },
            credentials: None,
        };
        let leg = world.caller.invite(invite, now);
        world.legs.insert(Side::Caller, leg);
        world
    }

    fn endpoint(&mut self, side: Side) -> &mut Endpoint {
        match side {
            Side::Caller => &mut self.caller,
            Side::Callee => &mut self.callee,
        }
    }

    fn plan(&mut self, side: Side, plan: Plan, longest_ms: u64) {
        let at = self.now + Duration::from_millis(self.random.next() % longest_ms);
        self.count += 1;
        self.plans.insert((at, self.count), (side, plan));
    }

    fn carry(&mut self) {
        for (from, to) in [(Side::Caller, Side::Callee), (Side::Callee, Side::Caller)] {
            while let Some(transmit) = self.endpoint(from).poll_transmit() {
                let copies = if self.random.next().is_multiple_of(10) { 2 } else { 1 };
                (0..copies).for_each(|_| self.throw(to, transmit.clone()));
            }
        }
    }

    fn throw(&mut self, to: Side, transmit: Transmit) {
        if self.random.next() % 100 < self.loss_percent {
            return;
        }
        let at = self.now + Duration::from_millis(1 + self.random.next() % 150);
        self.count += 1;
        self.flying.insert((at, self.count), (to, transmit));
    }

    fn listen(&mut self) {
        for side in [Side::Caller, Side::Callee] {
            while let Some(event) = self.endpoint(side).poll_event() {
                self.hear(side, event);
            }
        }
    }

    fn hear(&mut self, side: Side, event: Event) {
        match event {
            Event::Incoming { leg, .. } => {
                assert_eq!(self.legs.insert(side, leg), None, "one call, one leg");
                self.endpoint_command(side, |leg| Command::Ring { leg });
                self.plan(side, Plan::Answer, 3000);
            }
            Event::Established { .. } => {
                *self.established.entry(side).or_default() += 1;
                for plan in [Plan::Reinvite, Plan::Info, Plan::Refer, Plan::Reinvite] {
                    self.plan(side, plan, 8000);
                }
                self.plan(side, Plan::Bye, 20_000);
            }
            Event::Offer { .. } => self.plan(side, Plan::Accept, 500),
            Event::OfferAnswered { .. } => *self.outcomes.entry(side).or_default() += 1,
            Event::Cancelled { .. } | Event::Failed { .. } | Event::Bye { .. } | Event::Terminated { .. } => {
                *self.ends.entry(side).or_default() += 1;
            }
            Event::Progress { .. } => self.rung += 1,
            Event::Info { .. }
            | Event::InfoRefused { .. }
            | Event::Refer { .. }
            | Event::Registration { .. }
            | Event::Stranger { .. }
            | Event::Locate { .. } => {
                assert!(!self.ends.contains_key(&side), "{event:?} after the end");
            }
        }
    }

    fn endpoint_command(&mut self, side: Side, command: impl FnOnce(LegId) -> Command) {
        let (leg, now) = (self.legs[&side], self.now);
        self.endpoint(side).handle_command(command(leg), now);
    }

    fn act(&mut self, side: Side, plan: Plan) {
        let wait = Duration::from_secs(10);
        self.endpoint_command(side, |leg| match plan {
            Plan::Answer => Command::Answer { leg, sdp: ANSWER.into() },
            Plan::Accept => Command::AcceptOffer { leg, sdp: ANSWER.into() },
            Plan::Reinvite => Command::Reinvite { leg, sdp: OFFER.into() },
            Plan::Info => Command::Info { leg, content_type: "application/dtmf".into(), body: b"1".into() },
            Plan::Refer => Command::Refer { leg, refer_to: "sip:x@y".into(), replaces: None, notify_deadline: wait },
            Plan::Bye => Command::Bye { leg, reason: None },
        });
        if plan == Plan::Reinvite && !self.ends.contains_key(&side) {
            *self.reinvites.entry(side).or_default() += 1;
        }
    }

    /// Runs until nothing is left to happen.
    fn run(&mut self) {
        for _ in 0..20_000 {
            self.listen();
            self.carry();
            let flying = self.flying.first_key_value().map(|((at, _), _)| *at);
            let planned = self.plans.first_key_value().map(|((at, _), _)| *at);
            let due = [self.caller.poll_timeout(), self.callee.poll_timeout()].map(|due| due.map(|(at, _)| at));
            let Some(next) = [flying, planned, due[0], due[1]].into_iter().flatten().min() else { return };
            self.now = self.now.max(next);
            let now = self.now;
            if flying == Some(next) {
                let (_, (to, transmit)) = self.flying.pop_first().unwrap();
                let from = if to == Side::Caller { CALLEE } else { CALLER };
                self.endpoint(to).handle_datagram(UDP, from.parse().unwrap(), &transmit.bytes, now);
            } else if planned == Some(next) {
                let (_, (side, plan)) = self.plans.pop_first().unwrap();
                self.act(side, plan);
            } else {
                self.caller.handle_timeout(now);
                self.callee.handle_timeout(now);
            }
        }
        panic!("it never ends");
    }
}

#[test]
fn calls_complete_under_loss() {
    for (loss, least_established) in [(0, 295), (10, 290), (30, 270)] {
        let (mut established, mut rung) = (0, 0);
        for seed in 0..300 {
            let mut world = World::new(seed, loss);
            world.run();
            for side in [Side::Caller, Side::Callee] {
                let legs = usize::from(world.legs.contains_key(&side));
                assert_eq!(world.ends.get(&side).copied().unwrap_or_default(), legs, "seed {seed}, {side:?}: one end");
                let (asked, told) = (world.reinvites.get(&side), world.outcomes.get(&side));
                assert!(told <= asked, "seed {seed}, {side:?}: an outcome nobody asked for");
            }
            for endpoint in [&world.caller, &world.callee] {
                let stats = endpoint.stats();
                assert_eq!((stats.legs, stats.transactions, endpoint.is_idle()), (0, 0, true), "seed {seed}");
                assert_eq!(stats.parse_errors, 0);
            }
            let reliably = seed % 2 == 1;
            assert!(!reliably || world.rung <= 1, "seed {seed}: a 180 is heard once");
            rung += if reliably { world.rung } else { 0 };
            established += usize::from(world.established.len() == 2);
        }
        assert!(loss > 0 || rung >= 145, "{rung} of 150 callers heard it ring");
        assert!(established >= least_established, "{established} of 300 calls at {loss} % loss");
    }
}

#[test]
fn the_same_seed_gives_the_same_traffic() {
    let traffic = |seed| {
        let mut world = World::new(seed, 20);
        let start = world.now;
        world.run();
        (world.count, world.now - start, world.caller.stats(), world.callee.stats())
    };
    assert_eq!(traffic(3), traffic(3));
    assert_ne!(traffic(3), traffic(4));
}

#[test]
fn nonsense_harms_nothing() {
    let texts = [
        invite(1, "", OFFER),
        peer("BYE", 2, "x", "", ""),
        peer("ACK", 1, "x", "", ""),
        peer("CANCEL", 1, "", "", ""),
        peer("UPDATE", 3, "x", "", OFFER),
        peer("NOTIFY", 4, "x", "Event: refer;id=1\r\nSubscription-State: active\r\n", "SIP/2.0 100"),
        "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKx\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>;tag=2\r\n\
         Call-ID: c\r\nCSeq: 1 INVITE\r\n\r\n"
            .to_owned(),
    ];
    let mut random = Random::new(11);
    let mut stand = Stand::new();
    for round in 0..30_000_u64 {
        let mut bytes = texts[random.next() as usize % texts.len()].clone().into_bytes();
        for _ in 0..random.next() % 6 {
            let at = random.next() as usize % bytes.len().max(1);
            match random.next() % 4 {
                0 | 1 if bytes.len() < 2 => {}
                0 => bytes[at] = random.next() as u8,
                1 => drop(bytes.remove(at)),
                2 => bytes.insert(at, b"\r\n;:<>\"@ ,="[random.next() as usize % 11]),
                _ => bytes.truncate(at.max(1)),
            }
        }
        let remote = SocketAddr::new([192, 0, 2, (round % 7) as u8].into(), 5060);
        if round % 3 == 0 {
            let connection = Hop { remote, ..stand.connection() };
            stand.endpoint.handle_stream_opened(connection);
            stand.endpoint.handle_stream(connection, &bytes, stand.now);
        } else {
            stand.endpoint.handle_datagram(UDP, remote, &bytes, stand.now);
        }
        while let Some(event) = stand.endpoint.poll_event() {
            if let (Event::Incoming { leg, .. }, 0) = (event, random.next() % 2) {
                stand.command(Command::Answer { leg, sdp: ANSWER.into() });
            }
        }
        stand.transmits();
        if round % 50 == 0 {
            stand.now += Duration::from_millis(random.next() % 5000);
            stand.endpoint.handle_timeout(stand.now);
        }
        let stats = stand.endpoint.stats();
        assert!(stats.legs <= 4 && stats.transactions <= 4 * 8 + 1024, "{stats:?}");
    }
    assert!(stand.endpoint.stats().parse_errors > 1000);
    // It still takes a call when the dust has settled.
    stand.pass(Duration::from_secs(120));
    stand.events();
}
