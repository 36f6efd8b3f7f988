-- What is said of a tenant as a whole: limits, budget, its own key. One row a domain; NULL in a column, or no row, is nothing
-- said. As in the first migration every statement can be repeated, and types are those that FusionPBX's upgrader leaves
-- alone; the last four columns are those its pages write.

create table if not exists v_voice_tenants (
    voice_tenant_uuid uuid primary key default gen_random_uuid(),
    domain_uuid uuid not null,
    realtime_provider character varying(50),
    api_key_encrypted text,
    default_voice character varying(100),
    language character varying(20),
    time_zone character varying(64),
    max_concurrent_calls integer,
    calls_per_minute integer,
    monthly_budget_usd numeric(14,6),
    budget_alert_percent integer,
    budget_webhook text,
    recording boolean,
    retention_days integer,
    refusal_status integer,
    refusal_notice text,
    insert_date timestamp with time zone default current_timestamp,
    insert_user uuid,
    update_date timestamp with time zone,
    update_user uuid
);

-- Columns, for a table that FusionPBX made.
alter table v_voice_tenants
    add column if not exists domain_uuid uuid,
    add column if not exists realtime_provider character varying(50),
    add column if not exists api_key_encrypted text,
    add column if not exists default_voice character varying(100),
    add column if not exists language character varying(20),
    add column if not exists time_zone character varying(64),
    add column if not exists max_concurrent_calls integer,
    add column if not exists calls_per_minute integer,
    add column if not exists monthly_budget_usd numeric(14,6),
    add column if not exists budget_alert_percent integer,
    add column if not exists budget_webhook text,
    add column if not exists recording boolean,
    add column if not exists retention_days integer,
    add column if not exists refusal_status integer,
    add column if not exists refusal_notice text,
    add column if not exists insert_date timestamp with time zone,
    add column if not exists insert_user uuid,
    add column if not exists update_date timestamp with time zone,
    add column if not exists update_user uuid;
alter table v_voice_tenants alter column voice_tenant_uuid set default gen_random_uuid();

create unique index if not exists idx_voice_tenants_domain on v_voice_tenants (domain_uuid);

-- The tenant goes with its domain.
do $$
begin
    alter table v_voice_tenants
        add constraint v_voice_tenants_domain_fk
        foreign key (domain_uuid) references v_domains (domain_uuid) on delete cascade not valid;
exception when duplicate_object then null;
end $$;

-- Most calls at once with one secretary (null: any number).
alter table v_voice_secretaries_realtime add column if not exists max_concurrent_calls integer;

-- What a conversation cost, exactly: estimated_cost is rounded to a hundredth of a cent. Null in older rows.
alter table v_voice_conversations_realtime add column if not exists cost_micro_usd bigint;
