-- The same table and columns as in migrations/postgres. The budget is text: a sum of money is no binary fraction.

create table if not exists v_voice_tenants (
    voice_tenant_uuid text primary key not null
        default (lower(printf('%s-%s-4%s-%s%s-%s', hex(randomblob(4)), hex(randomblob(2)), substr(hex(randomblob(2)), 2),
            substr('89AB', 1 + (abs(random()) % 4), 1), substr(hex(randomblob(2)), 2), hex(randomblob(6))))),
    domain_uuid text not null references v_domains (domain_uuid) on delete cascade,
    realtime_provider character varying(50),
    api_key_encrypted text,
    default_voice character varying(100),
    language character varying(20),
    time_zone character varying(64),
    max_concurrent_calls integer,
    calls_per_minute integer,
    monthly_budget_usd text,
    budget_alert_percent integer,
    budget_webhook text,
    recording boolean,
    retention_days integer,
    refusal_status integer,
    refusal_notice text,
    insert_date datetime default (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    insert_user text,
    update_date datetime,
    update_user text
);

create unique index if not exists idx_voice_tenants_domain on v_voice_tenants (domain_uuid);

alter table v_voice_secretaries_realtime add column max_concurrent_calls integer;
alter table v_voice_conversations_realtime add column cost_micro_usd integer;
