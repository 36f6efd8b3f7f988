//! Conversations found, the newest of them or page by page: as many as there are, in bounded memory.
use super::{
    Query, StoreError,
    queries::{Sql, on_pool, select_conversations, within_deadline},
    rows::{ConversationColumns, Placed, Tried, readable},
};
use crate::record::{Conversation, words};
use sqlx::FromRow;
use std::fmt;

/// Longest part of a place as text, in bytes.
const LONGEST: usize = 64;

/// Whose conversations are meant.
#[derive(Clone, Copy, Debug)]
pub enum Scope<'a> {
    /// Of all tenants: for whoever runs the server.
    All,
    /// Those of a tenant that are meant.
    Of(&'a Query),
}

/// A place between two conversations: behind that one.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Cursor {
    /// As the database writes it, which is compared as it stands; `None` behind those of which nobody knows when they began.
    began: Option<String>,
    conversation_uuid: String,
}

impl Cursor {
    /// From what it is as text; `None` for what is none.
    pub fn parse(text: &str) -> Option<Self> {
        let (began, key) = text.rsplit_once(' ')?;
        let plain = |part: &str| part.len() <= LONGEST && !part.contains(char::is_control);
        let began = Some(began).filter(|began| plain(began))?;
        let conversation_uuid = Some(key).filter(|key| plain(key))?.to_owned();
        Some(Self { began: (!began.is_empty()).then(|| began.to_owned()), conversation_uuid })
    }

    /// Which conversation it is behind: its UUID as it stands there.
    pub fn conversation(&self) -> &str {
        &self.conversation_uuid
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.began.as_deref().unwrap_or_default(), self.conversation_uuid)
    }
}

/// Conversations that follow one another, the oldest first.
#[derive(Debug)]
pub struct Page {
    /// Those that can be read.
    pub conversations: Vec<Conversation>,
    /// How many cannot; the log says why.
    pub unreadable: u64,
    /// Where the next page begins; `None` after the last.
    pub next: Option<Cursor>,
}

/// A conversation as it is read.
type Row = Placed<Cursor, ConversationColumns>;

/// Which rows: `$1` to `$6` are the parts of a [`Query`]. PostgreSQL plans each question with what is asked, so that a part that is
/// not asked for is not there; and the tenant is a word as well, since the index of words has no other column.
macro_rules! meant {
    (postgres) => {
        "where domain_uuid = $1 and (cast($2 as text) is null or caller_id = $2) \
         and (cast($3 as timestamptz) is null or started_at >= $3) and (cast($4 as timestamptz) is null or started_at < $4) \
         and (cast($5 as text) is null or to_tsvector('simple', \
             'd' || replace(cast(domain_uuid as text), '-', '') || coalesce(search_text, '')) @@ to_tsquery('simple', $5)) \
         and (cast($6 as uuid) is null or secretary_realtime_uuid = $6) "
    };
    (sqlite) => {
        "where domain_uuid = $1 and (cast($2 as text) is null or caller_id = $2) \
         and (cast($3 as text) is null or started_at >= $3) and (cast($4 as text) is null or started_at < $4) \
         and not exists (select 1 from json_each($5) as word \
             where instr(coalesce(search_text, ''), ' ' || word.value) = 0) \
         and (cast($6 as text) is null or secretary_realtime_uuid = $6) "
    };
}

macro_rules! places {
    ($which:expr) => {
        concat!(
            "select cast(started_at as text) as began, cast(conversation_uuid as text) as conversation_uuid ",
            "from v_voice_conversations_realtime ",
            $which
        )
    };
}

// What they are sorted by is the column, with its table: alone its name is that of the text above.
pub(super) const SEARCH: &str = select_conversations!(concat!(
    meant!(postgres),
    "and started_at is not null and (cast($8 as text) is null or started_at < cast(cast($8 as text) as timestamptz) \
         or (started_at = cast(cast($8 as text) as timestamptz) \
             and v_voice_conversations_realtime.conversation_uuid > cast(cast($9 as text) as uuid))) ",
    "order by started_at desc, v_voice_conversations_realtime.conversation_uuid limit $7"
));
const SEARCH_OF_SQLITE: &str = select_conversations!(concat!(
    meant!(sqlite),
    "and started_at is not null and (cast($8 as text) is null or started_at < $8 \
         or (started_at = $8 and v_voice_conversations_realtime.conversation_uuid > $9)) ",
    "order by started_at desc, v_voice_conversations_realtime.conversation_uuid limit $7"
));
/// Those of which nobody knows when they began come last, by a question of their own: one order of both has no index.
const TIMELESS: &str = select_conversations!(concat!(
    meant!(postgres),
    "and started_at is null and (cast($8 as text) is null \
         or v_voice_conversations_realtime.conversation_uuid > cast(cast($8 as text) as uuid)) ",
    "order by v_voice_conversations_realtime.conversation_uuid limit $7"
));
const TIMELESS_OF_SQLITE: &str = select_conversations!(concat!(
    meant!(sqlite),
    "and started_at is null and (cast($8 as text) is null or v_voice_conversations_realtime.conversation_uuid > $8) ",
    "order by v_voice_conversations_realtime.conversation_uuid limit $7"
));

const PAGE: &str = select_conversations!(concat!(
    meant!(postgres),
    "and (started_at, conversation_uuid) > (cast(cast($7 as text) as timestamptz), cast(cast($8 as text) as uuid)) ",
    "order by started_at, v_voice_conversations_realtime.conversation_uuid limit $9"
));
const PAGE_OF_SQLITE: &str = select_conversations!(concat!(
    meant!(sqlite),
    "and (started_at, conversation_uuid) > ($7, $8) order by started_at, v_voice_conversations_realtime.conversation_uuid limit $9"
));
const PAGE_OF_ALL: &str = select_conversations!(
    "where (started_at, conversation_uuid) > (cast(cast($1 as text) as timestamptz), cast(cast($2 as text) as uuid)) \
     order by started_at, v_voice_conversations_realtime.conversation_uuid limit $3"
);
const PAGE_OF_ALL_OF_SQLITE: &str = select_conversations!(
    "where (started_at, conversation_uuid) > ($1, $2) order by started_at, v_voice_conversations_realtime.conversation_uuid limit $3"
);

/// The newest first, as [`PAGE`] has them the other way round.
const PLACE: &str = places!(concat!(
    meant!(postgres),
    "and started_at is not null ",
    "order by started_at desc, v_voice_conversations_realtime.conversation_uuid desc limit 1 offset $7"
));
const PLACE_OF_SQLITE: &str = places!(concat!(
    meant!(sqlite),
    "and started_at is not null ",
    "order by started_at desc, v_voice_conversations_realtime.conversation_uuid desc limit 1 offset $7"
));
const PLACE_OF_ALL: &str = places!(
    "where started_at is not null order by started_at desc, v_voice_conversations_realtime.conversation_uuid desc limit 1 offset $1"
);

impl Sql {
    fn of<T>(&self, postgres: T, sqlite: T) -> T {
        match self {
            Self::Postgres(_) => postgres,
            Self::Sqlite(_) => sqlite,
        }
    }

    /// What is looked for: for PostgreSQL's index, or as a JSON array of how words begin.
    pub(super) fn asked(&self, query: &Query) -> Option<String> {
        let asked = words(&query.words);
        let mut asked = asked.split_whitespace().peekable();
        match self {
            Self::Sqlite(_) => Some(serde_json::Value::from_iter(asked).to_string()),
            Self::Postgres(_) => asked.peek().is_some().then(|| {
                // Letters and digits alone: nothing of it is an operator.
                asked.fold(format!("d{}", query.domain.simple()), |all, word| format!("{all} & {word}:*"))
            }),
        }
    }

    pub(super) async fn find_conversations(
        &self,
        query: &Query,
        after: Option<&Cursor>,
    ) -> Result<Vec<Placed<Cursor, Conversation>>, StoreError> {
        let timeless = after.filter(|after| after.began.is_none());
        let mut rows = match timeless {
            Some(_) => Vec::new(),
            None => self.find_begun(query, after).await?,
        };
        let room = i64::from(query.last).saturating_sub(i64::try_from(rows.len()).unwrap_or(i64::MAX));
        if room > 0 {
            rows.extend(self.find_timeless(query, timeless, room).await?);
        }
        Ok(rows.into_iter().map(|row| row.read(ConversationColumns::read)).collect())
    }

    async fn find_begun(&self, query: &Query, after: Option<&Cursor>) -> Result<Vec<Row>, StoreError> {
        let Query { domain, caller, secretary, from, to, last, .. } = query;
        let (began, uuid) = after.map(|after| (after.began.as_deref(), &*after.conversation_uuid)).unzip();
        let (sql, asked) = (self.of(SEARCH, SEARCH_OF_SQLITE), self.asked(query));
        on_pool!(self, |pool, id| {
            let query = sqlx::query_as(sql).bind(id(*domain)).bind(caller).bind(from).bind(to).bind(asked);
            let query = query.bind(secretary.map(id)).bind(i64::from(*last)).bind(began.flatten()).bind(uuid);
            query.fetch_all(pool).await
        })
    }

    async fn find_timeless(&self, query: &Query, after: Option<&Cursor>, most: i64) -> Result<Vec<Row>, StoreError> {
        let Query { domain, caller, secretary, from, to, .. } = query;
        let uuid = after.map(Cursor::conversation);
        let (sql, asked) = (self.of(TIMELESS, TIMELESS_OF_SQLITE), self.asked(query));
        on_pool!(self, |pool, id| {
            let query = sqlx::query_as(sql).bind(id(*domain)).bind(caller).bind(from).bind(to).bind(asked);
            query.bind(secretary.map(id)).bind(most).bind(uuid).fetch_all(pool).await
        })
    }

    pub(super) async fn read_page(
        &self,
        scope: Scope<'_>,
        after: Option<&Cursor>,
        most: u32,
    ) -> Result<Page, StoreError> {
        let first = || self.of(("-infinity", "00000000-0000-0000-0000-000000000000"), ("", ""));
        let (began, uuid) =
            after.map_or_else(first, |after| (after.began.as_deref().unwrap_or_default(), after.conversation()));
        let rows: Vec<Row> = match scope {
            Scope::All => {
                let sql = self.of(PAGE_OF_ALL, PAGE_OF_ALL_OF_SQLITE);
                on_pool!(self, |pool, _id| {
                    sqlx::query_as(sql).bind(began).bind(uuid).bind(i64::from(most)).fetch_all(pool).await
                })?
            }
            Scope::Of(query) => {
                let Query { domain, caller, secretary, from, to, .. } = query;
                let (sql, asked) = (self.of(PAGE, PAGE_OF_SQLITE), self.asked(query));
                on_pool!(self, |pool, id| {
                    let query = sqlx::query_as(sql).bind(id(*domain)).bind(caller).bind(from).bind(to).bind(asked);
                    let query = query.bind(secretary.map(id)).bind(began).bind(uuid);
                    query.bind(i64::from(most)).fetch_all(pool).await
                })?
            }
        };
        let whole = u32::try_from(rows.len()).is_ok_and(|rows| rows >= most);
        let next = rows.last().filter(|_| whole).map(|last| last.place.clone());
        let (conversations, unreadable) =
            readable(rows.into_iter().map(|placed| Tried(placed.row)).collect(), ConversationColumns::read);
        Ok(Page { conversations, unreadable, next })
    }

    pub(super) async fn place_before(&self, scope: Scope<'_>, last: u32) -> Result<Option<Cursor>, StoreError> {
        match scope {
            Scope::All => on_pool!(self, |pool, _id| {
                sqlx::query_as(PLACE_OF_ALL).bind(i64::from(last)).fetch_optional(pool).await
            }),
            Scope::Of(query) => {
                let Query { domain, caller, secretary, from, to, .. } = query;
                let (sql, asked) = (self.of(PLACE, PLACE_OF_SQLITE), self.asked(query));
                on_pool!(self, |pool, id| {
                    let query = sqlx::query_as(sql).bind(id(*domain)).bind(caller).bind(from).bind(to).bind(asked);
                    query.bind(secretary.map(id)).bind(i64::from(last)).fetch_optional(pool).await
                })
            }
        }
    }
}
