-- The same tables and columns as in migrations/postgres.

create table if not exists v_voice_usage (
    conversation_uuid text not null,
    provider character varying(50) not null,
    domain_uuid text not null,
    secretary_realtime_uuid text,
    started_at datetime not null,
    talked_ms integer not null default 0,
    input_tokens integer not null default 0,
    output_tokens integer not null default 0,
    cost_micro_usd integer not null default 0,
    billed_micro_usd integer,
    node_uuid text,
    primary key (conversation_uuid, provider)
);

create index if not exists idx_voice_usage_domain on v_voice_usage (domain_uuid, started_at);

create table if not exists v_voice_budget_alerts (
    domain_uuid text not null,
    month character varying(7) not null,
    alert_micro_usd integer not null,
    alerted_at datetime not null default (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    primary key (domain_uuid, month, alert_micro_usd)
);

insert into v_voice_usage (conversation_uuid, provider, domain_uuid, secretary_realtime_uuid, started_at, talked_ms,
    input_tokens, output_tokens, cost_micro_usd, billed_micro_usd)
select conversation_uuid,
    substr(coalesce(nullif(case when json_valid(transcript) then json_extract(transcript, '$[0].provider') end, ''), 'unknown'), 1, 50),
    domain_uuid, secretary_realtime_uuid, started_at,
    cast(round(coalesce(audio_seconds, 0) * 1000) as integer),
    coalesce(input_tokens, 0), coalesce(output_tokens, 0),
    coalesce(cost_micro_usd, cast(round(coalesce(estimated_cost, 0) * 1000000) as integer)),
    cast(round(billed_cost * 1000000) as integer)
from v_voice_conversations_realtime
where started_at is not null
    and (coalesce(audio_seconds, 0) > 0 or coalesce(estimated_cost, 0) > 0 or coalesce(cost_micro_usd, 0) > 0)
on conflict (conversation_uuid, provider) do nothing;
