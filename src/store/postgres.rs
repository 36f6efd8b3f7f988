//! A PostgreSQL server, mostly FusionPBX's own.
use super::{ACQUIRE_DEADLINE, MIGRATIONS_TABLE, QUERY_DEADLINE, Sql, StoreError, actor};
use crate::config::Database;
use sqlx::{
    ConnectOptions, Connection, PgConnection,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use std::str::FromStr;

/// Connects. Migrations run on a connection of their own, without the statement deadline of the others.
pub(super) async fn open(database: &Database) -> Result<Sql, StoreError> {
    let options = PgConnectOptions::from_str(database.url.expose())
        .map_err(|error| StoreError::Url(error.to_string()))?
        .application_name("ramal")
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
    migrator.run(&mut connection).await?;
    connection.close().await?;
    let pool = PgPoolOptions::new().max_connections(database.pool).acquire_timeout(ACQUIRE_DEADLINE).connect_lazy_with(
        options.options([
            ("statement_timeout", QUERY_DEADLINE.as_millis().to_string()),
            // What is told of changes has an author (the triggers `ramal_audit`).
            ("ramal.actor", actor()),
        ]),
    );
    Ok(Sql::Postgres(pool))
}
