//! The accounts of `v_voice_registrations`: read for all tenants at once, since one process registers for all; written
//! row by row, each with its domain.
use super::{
    StoreError,
    queries::{Sql, on_pool, within_deadline},
    rows::{Tried, readable},
};
use crate::accounts::{Place, Standing, Written};
use chrono::{DateTime, Utc};
use sqlx::FromRow;

/// Rows read at the most; further ones are not registered.
const MOST: i64 = 10_000;

const ALL: &str = "select cast(r.registration_uuid as text) as registration_uuid, \
    cast(r.domain_uuid as text) as domain_uuid, d.domain_name as domain_name, r.registrar as registrar, \
    r.outbound_proxy as outbound_proxy, r.transport as transport, r.from_domain as from_domain, \
    r.username as username, r.auth_username as auth_username, r.password as password, \
    r.contact_user as contact_user, r.expire_seconds as expire_seconds, r.srtp as srtp, r.codecs as codecs, \
    r.codec_order as codec_order, r.dtmf as dtmf, r.ping_seconds as ping_seconds \
    from v_voice_registrations r join v_domains d on d.domain_uuid = r.domain_uuid \
    where coalesce(r.enabled, true) and coalesce(lower(cast(d.domain_enabled as text)), 'true') in ('true', 't', '1') \
    order by r.domain_uuid, r.registration_uuid limit $1";

/// A lease is ours to take if nobody has it, or has not renewed it.
const LEASE: &str = "update v_voice_registrations set owner = $3, lease_until = $4 \
    where domain_uuid = $1 and registration_uuid = $2 \
    and (owner is null or owner = $3 or lease_until is null or lease_until < $5)";

const RELEASE: &str = "update v_voice_registrations set owner = null, lease_until = null, state = 'removed', \
    status_code = null, state_at = $4, next_at = null \
    where domain_uuid = $1 and registration_uuid = $2 and owner = $3";

const NOTE: &str = "update v_voice_registrations set state = $4, status_code = $5, state_at = $6, next_at = $7 \
    where domain_uuid = $1 and registration_uuid = $2 and owner = $3";

/// A row as both databases give it.
#[derive(Debug, FromRow)]
struct Columns {
    registration_uuid: String,
    domain_uuid: String,
    domain_name: Option<String>,
    registrar: Option<String>,
    outbound_proxy: Option<String>,
    transport: Option<String>,
    from_domain: Option<String>,
    username: Option<String>,
    auth_username: Option<String>,
    password: Option<String>,
    contact_user: Option<String>,
    expire_seconds: Option<i32>,
    srtp: Option<String>,
    codecs: Option<String>,
    codec_order: Option<String>,
    dtmf: Option<String>,
    ping_seconds: Option<i32>,
}

impl Columns {
    /// `None` if a UUID is none.
    fn read(self) -> Option<(Place, Written)> {
        let place = Place {
            registration_uuid: self.registration_uuid.parse().ok()?,
            domain_uuid: self.domain_uuid.parse().ok()?,
        };
        let written = Written {
            registrar: self.registrar,
            outbound_proxy: self.outbound_proxy,
            transport: self.transport,
            domain: self.from_domain.filter(|domain| !domain.trim().is_empty()).or(self.domain_name),
            user: self.username,
            auth_user: self.auth_username,
            password: self.password,
            contact_user: self.contact_user,
            expires_s: self.expire_seconds,
            srtp: self.srtp,
            codecs: self.codecs,
            codec_order: self.codec_order,
            dtmf: self.dtmf,
            ping_s: self.ping_seconds,
        };
        Some((place, written))
    }
}

impl Sql {
    pub(super) async fn read_registrations(&self) -> Result<Vec<(Place, Written)>, StoreError> {
        let rows: Vec<Tried<Columns>> =
            on_pool!(self, |pool, _id| sqlx::query_as(ALL).bind(MOST).fetch_all(pool).await)?;
        Ok(readable(rows, Ok).0.into_iter().filter_map(Columns::read).collect())
    }

    pub(super) async fn take_lease(&self, place: Place, lease: &Lease<'_>) -> Result<bool, StoreError> {
        on_pool!(self, |pool, id| {
            let query = sqlx::query(LEASE).bind(id(place.domain_uuid)).bind(id(place.registration_uuid));
            let query = query.bind(lease.owner).bind(lease.until).bind(lease.now);
            query.execute(pool).await.map(|done| done.rows_affected() > 0)
        })
    }

    pub(super) async fn give_lease_back(&self, place: Place, owner: &str) -> Result<(), StoreError> {
        on_pool!(self, |pool, id| {
            let query = sqlx::query(RELEASE).bind(id(place.domain_uuid)).bind(id(place.registration_uuid));
            query.bind(owner).bind(Utc::now()).execute(pool).await.map(drop)
        })
    }

    pub(super) async fn note_standing(&self, place: Place, owner: &str, standing: &Standing) -> Result<(), StoreError> {
        on_pool!(self, |pool, id| {
            let query = sqlx::query(NOTE).bind(id(place.domain_uuid)).bind(id(place.registration_uuid)).bind(owner);
            let query = query.bind(standing.state).bind(standing.status_code.map(i32::from));
            query.bind(Utc::now()).bind(standing.next_at).execute(pool).await.map(drop)
        })
    }
}

/// Who wants an account, and until when.
#[derive(Clone, Copy, Debug)]
pub struct Lease<'a> {
    /// The node.
    pub owner: &'a str,
    /// Leases that ended before are free. The nodes' clocks may differ by less than a lease is renewed ahead of its end.
    pub now: DateTime<Utc>,
    /// When ours ends unless it is renewed.
    pub until: DateTime<Utc>,
}
