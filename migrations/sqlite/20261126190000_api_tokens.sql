-- The same table as in migrations/postgres.

create table if not exists v_voice_api_tokens (
    api_token_uuid text primary key not null,
    domain_uuid text references v_domains (domain_uuid) on delete cascade,
    token_id character varying(32) not null,
    token_name character varying(100) not null,
    token_hash character varying(64) not null,
    created_at datetime not null default (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    expires_at datetime,
    last_used_at datetime,
    revoked_at datetime
);

create unique index if not exists idx_voice_api_tokens_id on v_voice_api_tokens (token_id);
