//! Whether rows of secretaries and tenants changed: PostgreSQL says so, a SQLite file is looked at.
use super::{ACQUIRE_DEADLINE, QUERY_DEADLINE, Sql, StoreError, queries::within_deadline};
use sqlx::{
    Connection, PgPool, Row, SqliteConnection, SqlitePool,
    postgres::{PgListener, PgPoolOptions},
};
use std::{convert::Infallible, time::Duration};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout},
};
use tracing::{info, warn};
use uuid::Uuid;

/// As in the migration that has the triggers.
const CHANNEL: &str = "ramal_changed";
/// Whether both tables say when they change. FusionPBX's upgrader, or whoever makes a table anew, may have taken that away.
const TRIGGERS: &str = "select count(*) = 2 from pg_trigger where tgname = 'ramal_changed' and tgenabled <> 'D' \
    and tgrelid in (to_regclass('v_voice_secretaries_realtime'), to_regclass('v_voice_tenants'))";
/// How often a silent connection is asked whether it is there.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// How long a word of our own may take to come back.
const ECHO: Duration = Duration::from_secs(3);
/// All rows in a number, without a word of what stands in them.
const ROWS: &str = "select cast(count(*) as text) || ' ' || cast(coalesce(sum(hashtextextended(place, 0)), 0) as text) from ( \
    select 's' || cast(ctid as text) || cast(xmin as text) as place from v_voice_secretaries_realtime \
    union all select 't' || cast(ctid as text) || cast(xmin as text) from v_voice_tenants \
    union all select 'd' || cast(ctid as text) || cast(xmin as text) from v_domains) as places";
/// Between two looks through these tables.
const POLL: Duration = Duration::from_secs(1);
/// Between two looks at a SQLite file.
const LOOK: Duration = Duration::from_millis(250);
/// Before the next try to follow.
const AGAIN: Duration = Duration::from_secs(2);

/// How far changes are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Rises with each.
    pub seen: u64,
    /// Whether another would be noticed.
    pub followed: bool,
}

/// Follows changes until nobody listens.
pub(super) async fn follow(sql: &Sql, changes: &watch::Sender<Changes>) {
    let following = async {
        loop {
            let Err(problem) = match sql {
                Sql::Postgres(pool) => listen(pool, changes).await,
                Sql::Sqlite(pool) => look(pool, changes).await,
            };
            if changes.send_if_modified(|changes| std::mem::take(&mut changes.followed)) {
                warn!(%problem, "The database does not say what changes: it is asked at each call");
            }
            sleep_until(Instant::now() + AGAIN).await;
        }
    };
    tokio::select! {
        () = following => {}
        () = changes.closed() => {}
    }
}

/// Something changed; or it may have, while nobody looked.
fn note(changes: &watch::Sender<Changes>) {
    let Changes { seen, followed } = *changes.borrow();
    changes.send_replace(Changes { seen: seen + 1, followed: true });
    if !followed {
        info!("Changes of secretaries and tenants are followed");
    }
}

async fn listen(pool: &PgPool, changes: &watch::Sender<Changes>) -> Result<Infallible, StoreError> {
    let options = pool.connect_options().as_ref().clone();
    let own = PgPoolOptions::new().max_connections(1).acquire_timeout(ACQUIRE_DEADLINE).connect_lazy_with(options);
    let mut listener = within_deadline(PgListener::connect_with(&own)).await?;
    listener.eager_reconnect(false);
    let echo = format!("ramal_echo_{}", Uuid::new_v4().simple());
    within_deadline(listener.listen_all([CHANNEL, &echo])).await?;
    if !hears(pool, &mut listener, &echo).await? {
        warn!(
            "Nothing is heard of changes, as behind a pooler that hands out connections by the transaction: \
             secretaries and tenants are looked through every {POLL:?}"
        );
        drop(listener);
        return poll(pool, changes).await;
    }
    within_deadline(listener.unlisten(&echo)).await?;
    ask_triggers(&mut listener).await?;
    note(changes);
    loop {
        match timeout(HEARTBEAT, listener.try_recv()).await {
            Ok(Ok(Some(_))) => note(changes),
            Ok(Ok(None)) => return Err(StoreError::Unavailable("the connection is gone".into())),
            Ok(Err(error)) => return Err(error.into()),
            Err(_) => ask_triggers(&mut listener).await?,
        }
    }
}

/// Whether there is somebody, who would say what changes.
async fn ask_triggers(listener: &mut PgListener) -> Result<(), StoreError> {
    // Not prepared: it is asked for as long as the connection lasts.
    let row = within_deadline(sqlx::raw_sql(TRIGGERS).fetch_one(listener)).await?;
    let told: bool = row.try_get(0)?;
    let missing = || StoreError::Unavailable("the triggers `ramal_changed` are missing".into());
    told.then_some(()).ok_or_else(missing)
}

/// Whether what is said on another connection is heard on this one.
async fn hears(pool: &PgPool, listener: &mut PgListener, echo: &str) -> Result<bool, StoreError> {
    within_deadline(sqlx::query("select pg_notify($1, '')").bind(echo).execute(pool)).await?;
    let heard = async {
        loop {
            match listener.try_recv().await {
                Ok(Some(said)) if said.channel() == echo => return Ok(true),
                Ok(Some(_)) => {}
                Ok(None) => return Err(StoreError::Unavailable("the connection is gone".into())),
                Err(error) => return Err(error.into()),
            }
        }
    };
    timeout(ECHO, heard).await.unwrap_or(Ok(false))
}

/// Looks whether any row is another than before: an update leaves a new one, with the number of who wrote it.
async fn poll(pool: &PgPool, changes: &watch::Sender<Changes>) -> Result<Infallible, StoreError> {
    let mut last = None;
    loop {
        let now: String = within_deadline(sqlx::query_scalar(ROWS).fetch_one(pool)).await?;
        if last.as_ref() != Some(&now) {
            note(changes);
            last = Some(now);
        }
        sleep_until(Instant::now() + POLL).await;
    }
}

/// `data_version` differs when another connection has written, which every other is.
async fn look(pool: &SqlitePool, changes: &watch::Sender<Changes>) -> Result<Infallible, StoreError> {
    let options = pool.connect_options();
    // Another connection to a database in memory would see another database.
    if options.get_filename().as_os_str().to_string_lossy().contains("memory") {
        std::future::pending::<()>().await;
    }
    let connecting = timeout(QUERY_DEADLINE, SqliteConnection::connect_with(&options)).await;
    let mut connection = connecting.map_err(|_| StoreError::Unavailable("it does not open".into()))??;
    let mut last = None;
    loop {
        let version: i64 =
            within_deadline(sqlx::query_scalar("pragma data_version").fetch_one(&mut connection)).await?;
        if last.replace(version) != Some(version) {
            note(changes);
        }
        sleep_until(Instant::now() + LOOK).await;
    }
}
