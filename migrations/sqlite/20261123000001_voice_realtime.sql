-- The same two tables as in migrations/postgres, for a server without FusionPBX. UUIDs are hyphenated lower-case text,
-- JSON is text, times are RFC 3339 UTC.

create table if not exists v_domains (
    domain_uuid text primary key not null,
    domain_name text,
    domain_enabled boolean default true,
    domain_description text
);

create table if not exists v_voice_secretaries_realtime (
    secretary_realtime_uuid text primary key not null
        default (lower(printf('%s-%s-4%s-%s%s-%s', hex(randomblob(4)), hex(randomblob(2)), substr(hex(randomblob(2)), 2),
            substr('89AB', 1 + (abs(random()) % 4), 1), substr(hex(randomblob(2)), 2), hex(randomblob(6))))),
    domain_uuid text not null references v_domains (domain_uuid) on delete cascade,
    secretary_name character varying(255) not null,
    extension character varying(15),
    realtime_provider character varying(50) not null,
    provider_config text not null default '{}',
    voice_id character varying(100),
    voice_settings text default '{}',
    system_prompt text,
    first_message text,
    vad_threshold real default 0.5,
    silence_duration_ms integer default 500,
    enable_rag boolean default false,
    rag_collection_id text,
    enable_functions boolean default false,
    functions_config text default '[]',
    transfer_rules text default '[]',
    max_duration_seconds integer default 300,
    max_turns integer default 50,
    enabled boolean default true,
    created_at datetime default (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    updated_at datetime default (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    processing_mode character varying(20) default 'realtime' check (processing_mode in ('turn_based', 'realtime', 'auto'))
);

create table if not exists v_voice_conversations_realtime (
    conversation_uuid text primary key not null
        default (lower(printf('%s-%s-4%s-%s%s-%s', hex(randomblob(4)), hex(randomblob(2)), substr(hex(randomblob(2)), 2),
            substr('89AB', 1 + (abs(random()) % 4), 1), substr(hex(randomblob(2)), 2), hex(randomblob(6))))),
    domain_uuid text not null references v_domains (domain_uuid) on delete cascade,
    secretary_realtime_uuid text references v_voice_secretaries_realtime (secretary_realtime_uuid) on delete set null,
    call_uuid character varying(255) not null,
    caller_id character varying(100),
    destination character varying(100),
    started_at datetime default (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    ended_at datetime,
    duration_seconds integer,
    total_turns integer default 0,
    avg_latency_ms integer,
    transcript text default '[]',
    outcome character varying(50),
    transfer_destination character varying(100),
    input_tokens integer default 0,
    output_tokens integer default 0,
    audio_seconds real default 0,
    estimated_cost real default 0,
    created_at datetime default (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
);

create index if not exists idx_secretary_realtime_domain on v_voice_secretaries_realtime (domain_uuid);
create index if not exists idx_secretary_realtime_extension on v_voice_secretaries_realtime (domain_uuid, extension);
create index if not exists idx_conv_realtime_domain on v_voice_conversations_realtime (domain_uuid);
create index if not exists idx_conv_realtime_date on v_voice_conversations_realtime (domain_uuid, started_at);
