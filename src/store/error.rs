//! What can go wrong between us and a database.
use sqlx::error::ErrorKind;
use std::path::PathBuf;
use thiserror::Error;

/// A question that got no answer, or a record that is refused.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The URL is not one this driver understands. Does not show it: it may hold a password.
    #[error("database.url is not valid: {0}")]
    Url(String),
    /// The database file is not there, and nobody asked to make it.
    #[error("there is no database file {}; `ramal serve` makes it, or name another with --config or RAMAL_DATABASE_URL", .0.display())]
    NoFile(PathBuf),
    /// Not reachable, locked, full or too slow: worth trying again.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// The database understood and refuses: trying again is useless.
    #[error("the database refuses the record: {0}")]
    Refused(String),
    /// A row or a table is not as we make them. Asking again is useless, and the database is there.
    #[error("the database has what cannot be read: {0}")]
    Foreign(String),
    /// The tables could not be made.
    #[error(
        "the tables could not be brought up to date: {0}; the database user must own them, or run this version once as their owner"
    )]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// FusionPBX owns its domains; we do not invent one.
    #[error("there is no domain {0:?} in this database; make it in FusionPBX first, or correct the secretary's domain")]
    NoSuchDomain(String),
    /// A stored conversation is not as we write them.
    #[error("conversation {conversation}: {column} is not readable")]
    Unreadable {
        /// Its UUID.
        conversation: String,
        /// Which column.
        column: &'static str,
    },
}

impl StoreError {
    /// Whether the same may work later.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unavailable(_) => true,
            Self::Url(_)
            | Self::NoFile(_)
            | Self::Refused(_)
            | Self::Foreign(_)
            | Self::Migration(_)
            | Self::NoSuchDomain(_)
            | Self::Unreadable { .. } => false,
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        if matches!(
            error,
            sqlx::Error::Decode(_)
                | sqlx::Error::ColumnDecode { .. }
                | sqlx::Error::ColumnNotFound(_)
                | sqlx::Error::ColumnIndexOutOfBounds { .. }
                | sqlx::Error::TypeNotFound { .. }
        ) {
            return Self::Foreign(error.to_string());
        }
        let lasting = match &error {
            // PostgreSQL class 22 is "data exception": a value that does not fit its column.
            sqlx::Error::Database(database) => {
                database.code().is_some_and(|code| code.len() == 5 && code.starts_with("22"))
                    || matches!(
                        database.kind(),
                        ErrorKind::ForeignKeyViolation
                            | ErrorKind::NotNullViolation
                            | ErrorKind::CheckViolation
                            | ErrorKind::UniqueViolation
                    )
            }
            sqlx::Error::Encode(_) => true,
            _ => false,
        };
        if lasting { Self::Refused(error.to_string()) } else { Self::Unavailable(error.to_string()) }
    }
}
