//! The calls of all servers that share a Redis. Each call is a member of the sorted sets it counts in, with the moment it
//! expires; whoever runs it puts that off. A server that dies leaves calls that expire within [`LEASE`].
//!
//! Every step is one script, so that no two servers see the same room. The clock is that of Redis. When Redis was away or
//! lost its memory, every server puts back the calls it has as soon as it finds that, within [`LOOK`]; until the last has, more
//! calls may be let in than the limit.
use super::Inner;
use crate::tenancy::limits::{Claim, Lease, Limit, MINUTE, Scope};
use redis::{AsyncConnectionConfig, Client, Script, aio::MultiplexedConnection};
use std::{
    sync::Weak,
    time::{Duration, Instant},
};
use tokio::{
    sync::{mpsc, oneshot},
    time::{MissedTickBehavior, interval},
};
use tracing::{info, warn};
use uuid::Uuid;

/// How long Redis may take to answer before it is away.
const ANSWER: Duration = Duration::from_millis(300);
/// How long a call waits for its turn and its answer before it goes by the limits of this process: Redis may have to be found
/// again, told of the calls that are up, and asked again.
pub(super) const TURN: Duration = Duration::from_millis(900);
/// How long a call counts that nobody renews.
const LEASE: Duration = Duration::from_secs(25);
/// How often calls are renewed: twice and again within a lease, so that one lost renewal costs nothing.
const RENEW: Duration = Duration::from_secs(8);
/// How often a Redis that is away is looked for, and one that answers asked whether it still knows us.
const LOOK: Duration = Duration::from_secs(1);
/// Calls renewed by one script: Redis does nothing else meanwhile.
const BATCH: usize = 200;

/// KEYS: domain, secretary, provider, calls begun. ARGV: lease, its life, the length of a minute (both ms), four caps, -1 for
/// none. A call that asks again does not stand in its own way.
const TAKE: &str = r"
local now = redis.call('TIME')
now = now[1] * 1000 + math.floor(now[2] / 1000)
local ends = {now, now, now, now - ARGV[3]}
for i = 1, 4 do
    redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', ends[i])
    redis.call('ZREM', KEYS[i], ARGV[1])
end
for i = 1, 4 do
    local cap = tonumber(ARGV[3 + i])
    if cap >= 0 and redis.call('ZCARD', KEYS[i]) >= cap then return i end
end
for i = 1, 3 do
    redis.call('ZADD', KEYS[i], now + ARGV[2], ARGV[1])
    redis.call('PEXPIRE', KEYS[i], ARGV[2])
end
redis.call('ZADD', KEYS[4], now, ARGV[1])
redis.call('PEXPIRE', KEYS[4], ARGV[3])
return 0
";

/// KEYS: three of each call. ARGV: the life of a lease (ms), then the leases.
const RENEWAL: &str = r"
local now = redis.call('TIME')
now = now[1] * 1000 + math.floor(now[2] / 1000)
for i = 1, #KEYS do
    redis.call('ZADD', KEYS[i], now + ARGV[1], ARGV[1 + math.ceil(i / 3)])
    redis.call('PEXPIRE', KEYS[i], ARGV[1])
end
return 0
";

/// KEYS: three, and a fourth for a call that never began. ARGV: the lease.
const RELEASE: &str = r"
for i = 1, #KEYS do redis.call('ZREM', KEYS[i], ARGV[1]) end
return 0
";

/// What the gate wants.
#[derive(Debug)]
pub(super) enum Order {
    /// Counts a call; the answer is `None` if Redis does not say.
    Take(Lease, Claim, oneshot::Sender<Option<Result<(), Limit>>>),
    /// A call has ended.
    Release(Lease, Claim),
    /// A call has not begun after all.
    Retract(Lease, Claim),
}

struct Shared {
    client: Client,
    connection: Option<MultiplexedConnection>,
    scripts: Scripts,
    /// What Redis forgets of this process with everything else.
    mark: String,
    renewed: Instant,
    /// Whether the log knows that it is away.
    told: bool,
    gate: Weak<Inner>,
}

struct Scripts {
    take: Script,
    renew: Script,
    release: Script,
}

/// Carries out orders, one after the other, until the gate is gone.
pub(super) async fn run(client: Client, mut orders: mpsc::Receiver<Order>, gate: Weak<Inner>) {
    let scripts = Scripts { take: Script::new(TAKE), renew: Script::new(RENEWAL), release: Script::new(RELEASE) };
    let mark = format!("{{ramal}}:node:{}", Uuid::new_v4());
    let mut shared = Shared { client, connection: None, scripts, mark, renewed: Instant::now(), told: false, gate };
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            _ = look.tick() => shared.look().await,
            order = orders.recv() => match order {
                Some(Order::Take(lease, claim, asker)) => shared.on_take(lease, claim, asker).await,
                Some(Order::Release(lease, claim)) => shared.on_release(lease, &claim, None).await,
                Some(Order::Retract(lease, claim)) => shared.on_release(lease, &claim, Some(began(&claim))).await,
                None => return,
            },
        }
    }
}

impl Shared {
    async fn on_take(&mut self, lease: Lease, claim: Claim, asker: oneshot::Sender<Option<Result<(), Limit>>>) {
        let connected = self.connection.is_some();
        let mut answer = self.take(lease, &claim).await;
        // A Redis that was started anew is back before anybody noticed that it was away.
        if answer.is_none() && connected {
            self.look().await;
            answer = self.take(lease, &claim).await;
        }
        // Where nobody waits any more the call was let in without us: the next renewal tells of it.
        let _ = asker.send(answer);
    }

    async fn take(&mut self, lease: Lease, claim: &Claim) -> Option<Result<(), Limit>> {
        let mut connection = self.connection.clone()?;
        let mut take = self.scripts.take.prepare_invoke();
        for (scope, _) in claim.scopes() {
            take.key(key(&scope));
        }
        take.key(began(claim));
        take.arg(lease.0.to_string()).arg(milliseconds(LEASE)).arg(milliseconds(MINUTE));
        for cap in claim.scopes().map(|(_, cap)| cap).into_iter().chain([claim.caps.per_minute]) {
            take.arg(cap.map_or(-1, i64::from));
        }
        let answer: redis::RedisResult<usize> = take.invoke_async(&mut connection).await;
        match self.noted(answer)? {
            0 => Some(Ok(())),
            limit => Some(Err(*Limit::ALL.get(limit - 1)?)),
        }
    }

    async fn on_release(&mut self, lease: Lease, claim: &Claim, began: Option<String>) {
        let Some(mut connection) = self.connection.clone() else { return };
        let mut release = self.scripts.release.prepare_invoke();
        claim.scopes().iter().map(|(scope, _)| key(scope)).chain(began).for_each(|key| {
            release.key(key);
        });
        release.arg(lease.0.to_string());
        let done: redis::RedisResult<usize> = release.invoke_async(&mut connection).await;
        self.noted(done);
    }

    /// Renews what is due, or what Redis has forgotten, or looks whether it is back.
    async fn look(&mut self) {
        if self.connection.is_some() {
            if self.renewed.elapsed() >= RENEW || !self.is_known().await {
                self.renew().await;
            }
            if self.connection.is_some() {
                return;
            }
        }
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(Some(ANSWER)).set_response_timeout(Some(ANSWER));
        let connection = match self.client.get_multiplexed_async_connection_with_config(&config).await {
            Ok(connection) => connection,
            Err(error) => return self.away(&error),
        };
        self.connection = Some(connection);
        self.renew().await;
        if self.connection.is_some() {
            info!("Limits are shared through Redis");
            self.told = false;
            self.stands(true);
        }
    }

    /// Whether Redis remembers this process. One that was started anew in an instant does not.
    async fn is_known(&mut self) -> bool {
        let Some(mut connection) = self.connection.clone() else { return false };
        let known: redis::RedisResult<bool> = redis::cmd("EXISTS").arg(&self.mark).query_async(&mut connection).await;
        self.noted(known).unwrap_or_default()
    }

    /// The calls that this process has are put off, those among them that Redis was not told of; of others nobody speaks any more.
    async fn renew(&mut self) {
        self.renewed = Instant::now();
        let Some(gate) = self.gate.upgrade() else { return };
        let held: Vec<(Lease, Claim)> = gate.limits().leases().map(|(lease, claim)| (lease, claim.clone())).collect();
        drop(gate);
        for batch in held.chunks(BATCH) {
            let Some(mut connection) = self.connection.clone() else { return };
            let mut renew = self.scripts.renew.prepare_invoke();
            renew.arg(milliseconds(LEASE));
            for (Lease(uuid), claim) in batch {
                renew.arg(uuid.to_string());
                claim.scopes().iter().for_each(|(scope, _)| {
                    renew.key(key(scope));
                });
            }
            let done: redis::RedisResult<usize> = renew.invoke_async(&mut connection).await;
            self.noted(done);
        }
        let Some(mut connection) = self.connection.clone() else { return };
        let mut set = redis::cmd("SET");
        set.arg(&self.mark).arg(1).arg("PX").arg(milliseconds(LEASE));
        let done: redis::RedisResult<()> = set.query_async(&mut connection).await;
        self.noted(done);
    }

    /// An answer; without one Redis is away until it is found again.
    fn noted<T>(&mut self, answer: redis::RedisResult<T>) -> Option<T> {
        match answer {
            Ok(answer) => Some(answer),
            Err(error) => {
                self.away(&error);
                None
            }
        }
    }

    fn away(&mut self, error: &redis::RedisError) {
        self.connection = None;
        if !std::mem::replace(&mut self.told, true) {
            warn!(%error, "Redis does not answer: this server goes by its own limits until it does");
            self.stands(false);
        }
    }

    fn stands(&self, answers: bool) {
        if let Some(gate) = self.gate.upgrade() {
            gate.counts().redis = Some(answers);
        }
    }
}

/// All in one slot of a cluster: a script looks at several.
fn key(scope: &Scope) -> String {
    let of = |kind: &str, uuid: &Uuid| format!("{{ramal}}:calls:{kind}:{uuid}");
    match scope {
        Scope::Domain(uuid) => of("domain", uuid),
        Scope::Secretary(uuid) => of("secretary", uuid),
        Scope::Provider(name) => format!("{{ramal}}:calls:provider:{name}"),
    }
}

fn began(claim: &Claim) -> String {
    format!("{{ramal}}:began:{}", claim.domain)
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
