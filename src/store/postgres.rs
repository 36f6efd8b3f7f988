//! A PostgreSQL server, mostly FusionPBX's own.
use super::{ACQUIRE_DEADLINE, MIGRATIONS_TABLE, QUERY_DEADLINE, Sql, StoreError, actor};
use crate::config::Database;
use sqlx::{
    ConnectOptions, Connection, PgConnection,
    migrate::Migrator,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use std::str::FromStr;

/// Connects. Migrations run on a connection of their own, without the statement deadline of the others.
pub(super) async fn open(database: &Database) -> Result<Sql, StoreError> {
    let options = PgConnectOptions::from_str(database.url.expose())
        .map_err(|error| StoreError::Url(error.to_string()))?
        .application_name("ramal")
        // A statement that was prepared before FusionPBX's upgrader altered its table fails from then on ("cached plan must not
        // change result type").
        .statement_cache_capacity(0)
        // No question depends on it, and poolers refuse connections that ask for it.
        .extra_float_digits(None)
        // A statement that takes long is logged whole, with nothing a person can act on.
        .disable_statement_logging();
    let mut migrator = sqlx::migrate!("migrations/postgres");
    migrator.dangerous_set_table_name(MIGRATIONS_TABLE);
    let connecting = PgConnection::connect_with(&options);
    let mut connection = match tokio::time::timeout(QUERY_DEADLINE, connecting).await {
        Ok(connected) => connected.map_err(|error| {
            StoreError::Unavailable(format!("{error}; check database.url and that its server runs and lets us in"))
        })?,
        Err(_) => return Err(StoreError::Unavailable(format!("no connection within {QUERY_DEADLINE:?}"))),
    };
    if !is_up_to_date(&mut connection, &migrator).await {
        migrator.run(&mut connection).await?;
    }
    connection.close().await?;
    let pool = PgPoolOptions::new().max_connections(database.pool).acquire_timeout(ACQUIRE_DEADLINE);
    let pool = pool.after_connect(|connection, _| Box::pin(introduce(connection)));
    // What is in no cache the server would keep under its name, each question beside those before, until the connection ends.
    let pool = pool.after_release(|connection, _| {
        Box::pin(async { sqlx::raw_sql("deallocate all").execute(connection).await.map(|_| true) })
    });
    Ok(Sql::Postgres(pool.connect_lazy_with(options)))
}

/// Whether just these migrations ran, so that nobody has to own the tables.
async fn is_up_to_date(connection: &mut PgConnection, migrator: &Migrator) -> bool {
    let ran =
        sqlx::query_as("select version, checksum from _ramal_migrations where success").fetch_all(connection).await;
    let ran: Vec<(i64, Vec<u8>)> = ran.unwrap_or_default();
    let known = |(version, checksum): &(i64, Vec<u8>)| {
        migrator.iter().any(|migration| migration.version == *version && *migration.checksum == checksum[..])
    };
    ran.len() == migrator.iter().count() && ran.iter().all(known)
}

/// What a connection is to know. It is told, not asked for with the connection: poolers refuse what they do not know.
async fn introduce(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    // What is told of changes has an author (the triggers `ramal_audit`).
    let settings = "select set_config('statement_timeout', $1, false), set_config('ramal.actor', $2, false)";
    let deadline = QUERY_DEADLINE.as_millis().to_string();
    sqlx::query(settings).bind(deadline).bind(actor()).execute(connection).await.map(drop)
}
