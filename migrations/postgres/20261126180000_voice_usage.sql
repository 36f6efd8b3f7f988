-- What conversations cost, by provider: what budgets and reports of usage are summed from. There is no number, no name and no word
-- in it, so it stays when a conversation is erased or too old, when a secretary goes, and when a tenant goes. As in the first
-- migration every statement can be repeated.

create table if not exists v_voice_usage (
    conversation_uuid uuid not null,
    provider character varying(50) not null,
    domain_uuid uuid not null,
    secretary_realtime_uuid uuid,
    started_at timestamp with time zone not null,
    talked_ms bigint not null default 0,
    input_tokens bigint not null default 0,
    output_tokens bigint not null default 0,
    -- By list prices, and what the provider charged where it tells; that one counts then.
    cost_micro_usd bigint not null default 0,
    billed_micro_usd bigint,
    -- The process in which the call is up, or was when that process was killed; null once the call has its record.
    node_uuid uuid,
    primary key (conversation_uuid, provider)
);

create index if not exists idx_voice_usage_domain on v_voice_usage (domain_uuid, started_at);

-- Of whose budget somebody was told that so much of it is spent: once, whichever server sees it first.
create table if not exists v_voice_budget_alerts (
    domain_uuid uuid not null,
    month character varying(7) not null,
    alert_micro_usd bigint not null,
    alerted_at timestamp with time zone not null default current_timestamp,
    primary key (domain_uuid, month, alert_micro_usd)
);

-- Conversations that are there already, with the provider that spoke last.
insert into v_voice_usage (conversation_uuid, provider, domain_uuid, secretary_realtime_uuid, started_at, talked_ms,
    input_tokens, output_tokens, cost_micro_usd, billed_micro_usd)
select conversation_uuid,
    left(coalesce(nullif(cast(transcript as jsonb) -> 0 ->> 'provider', ''), 'unknown'), 50),
    domain_uuid, secretary_realtime_uuid, started_at,
    cast(round(coalesce(audio_seconds, 0) * 1000) as bigint),
    coalesce(input_tokens, 0), coalesce(output_tokens, 0),
    coalesce(cost_micro_usd, cast(round(coalesce(estimated_cost, 0) * 1000000) as bigint)),
    cast(round(billed_cost * 1000000) as bigint)
from v_voice_conversations_realtime
where domain_uuid is not null and started_at is not null
    and (coalesce(audio_seconds, 0) > 0 or coalesce(estimated_cost, 0) > 0 or coalesce(cost_micro_usd, 0) > 0)
on conflict (conversation_uuid, provider) do nothing;
