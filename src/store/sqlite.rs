//! A file of our own.
use super::{ACQUIRE_DEADLINE, MIGRATIONS_TABLE, QUERY_DEADLINE, Sql, StoreError};
use crate::config::Database;
use sqlx::{
    ConnectOptions,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions},
};
use std::str::FromStr;

/// Pages that a connection keeps in memory, KiB (negative, as SQLite has it): what is written once and rarely read would fill
/// the 2 MiB of its default, in each connection, over an hour of calls.
const CACHE: &str = "-512";

/// What to do about a file that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Absent {
    Make,
    Refuse,
}

/// Opens the file. Readers and one writer at a time (WAL); a writer waits for another's lock.
pub(super) async fn open(database: &Database, absent: Absent) -> Result<Sql, StoreError> {
    let options = SqliteConnectOptions::from_str(database.url.expose())
        .map_err(|error| StoreError::Url(error.to_string()))?
        .create_if_missing(absent == Absent::Make)
        .foreign_keys(true)
        .journal_mode(SqliteJournalMode::Wal)
        .pragma("cache_size", CACHE)
        .busy_timeout(QUERY_DEADLINE)
        .disable_statement_logging();
    // Each connection to ":memory:" is a database of its own, gone with it.
    let in_memory = database.url.expose().contains(":memory:");
    if absent == Absent::Refuse && !in_memory && !options.get_filename().exists() {
        return Err(StoreError::NoFile(options.get_filename().to_owned()));
    }
    let pool = SqlitePoolOptions::new()
        .max_connections(if in_memory { 1 } else { database.pool })
        .min_connections(u32::from(in_memory))
        .idle_timeout(None)
        .max_lifetime(None)
        .acquire_timeout(ACQUIRE_DEADLINE)
        .connect_with(options)
        .await
        .map_err(|error| StoreError::Unavailable(format!("{}: {error}", database.url.expose())))?;
    let mut migrator = sqlx::migrate!("migrations/sqlite");
    migrator.dangerous_set_table_name(MIGRATIONS_TABLE);
    migrator.run(&pool).await?;
    Ok(Sql::Sqlite(pool))
}
