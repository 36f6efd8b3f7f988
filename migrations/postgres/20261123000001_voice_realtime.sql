-- The two tables of the realtime secretary. FusionPBX's upgrader may have made them first, from its own declaration and
-- without defaults, NOT NULL and foreign keys, or may alter them later; so every statement says "if not exists" or can
-- be repeated. No view may stand on these columns: it would block the upgrader's ALTER TYPE.

-- FusionPBX's own table. Made here only where there is no FusionPBX.
create table if not exists v_domains (
    domain_uuid uuid primary key default gen_random_uuid(),
    domain_name text,
    domain_enabled boolean default true,
    domain_description text
);

create table if not exists v_voice_secretaries_realtime (
    secretary_realtime_uuid uuid primary key default gen_random_uuid(),
    domain_uuid uuid not null,
    secretary_name character varying(255) not null,
    extension character varying(15),
    realtime_provider character varying(50) not null,
    provider_config jsonb not null default '{}',
    voice_id character varying(100),
    voice_settings jsonb default '{}',
    system_prompt text,
    first_message text,
    vad_threshold numeric(3,2) default 0.5,
    silence_duration_ms integer default 500,
    enable_rag boolean default false,
    rag_collection_id uuid,
    enable_functions boolean default false,
    functions_config jsonb default '[]',
    transfer_rules jsonb default '[]',
    max_duration_seconds integer default 300,
    max_turns integer default 50,
    enabled boolean default true,
    created_at timestamp with time zone default current_timestamp,
    updated_at timestamp with time zone default current_timestamp
);

create table if not exists v_voice_conversations_realtime (
    conversation_uuid uuid primary key default gen_random_uuid(),
    domain_uuid uuid not null,
    secretary_realtime_uuid uuid,
    call_uuid character varying(255) not null,
    caller_id character varying(100),
    destination character varying(100),
    started_at timestamp with time zone default current_timestamp,
    ended_at timestamp with time zone,
    duration_seconds integer,
    total_turns integer default 0,
    avg_latency_ms integer,
    transcript jsonb default '[]',
    outcome character varying(50),
    transfer_destination character varying(100),
    input_tokens integer default 0,
    output_tokens integer default 0,
    audio_seconds numeric(10,2) default 0,
    estimated_cost numeric(10,4) default 0,
    created_at timestamp with time zone default current_timestamp
);

-- Columns and defaults, for tables that FusionPBX made. processing_mode is beside the first design's columns: which chain
-- answers. Whoever has a row here asked for realtime.
alter table v_voice_secretaries_realtime
    add column if not exists domain_uuid uuid,
    add column if not exists secretary_name character varying(255),
    add column if not exists extension character varying(15),
    add column if not exists realtime_provider character varying(50),
    add column if not exists provider_config jsonb,
    add column if not exists voice_id character varying(100),
    add column if not exists voice_settings jsonb,
    add column if not exists system_prompt text,
    add column if not exists first_message text,
    add column if not exists vad_threshold numeric(3,2),
    add column if not exists silence_duration_ms integer,
    add column if not exists enable_rag boolean,
    add column if not exists rag_collection_id uuid,
    add column if not exists enable_functions boolean,
    add column if not exists functions_config jsonb,
    add column if not exists transfer_rules jsonb,
    add column if not exists max_duration_seconds integer,
    add column if not exists max_turns integer,
    add column if not exists enabled boolean,
    add column if not exists created_at timestamp with time zone,
    add column if not exists updated_at timestamp with time zone,
    add column if not exists processing_mode character varying(20);
alter table v_voice_conversations_realtime
    add column if not exists domain_uuid uuid,
    add column if not exists secretary_realtime_uuid uuid,
    add column if not exists call_uuid character varying(255),
    add column if not exists caller_id character varying(100),
    add column if not exists destination character varying(100),
    add column if not exists started_at timestamp with time zone,
    add column if not exists ended_at timestamp with time zone,
    add column if not exists duration_seconds integer,
    add column if not exists total_turns integer,
    add column if not exists avg_latency_ms integer,
    add column if not exists transcript jsonb,
    add column if not exists outcome character varying(50),
    add column if not exists transfer_destination character varying(100),
    add column if not exists input_tokens integer,
    add column if not exists output_tokens integer,
    add column if not exists audio_seconds numeric(10,2),
    add column if not exists estimated_cost numeric(10,4),
    add column if not exists created_at timestamp with time zone;
alter table v_voice_secretaries_realtime
    alter column secretary_realtime_uuid set default gen_random_uuid(),
    alter column provider_config set default '{}',
    alter column voice_settings set default '{}',
    alter column vad_threshold set default 0.5,
    alter column silence_duration_ms set default 500,
    alter column enable_rag set default false,
    alter column enable_functions set default false,
    alter column functions_config set default '[]',
    alter column transfer_rules set default '[]',
    alter column max_duration_seconds set default 300,
    alter column max_turns set default 50,
    alter column enabled set default true,
    alter column processing_mode set default 'realtime',
    alter column created_at set default current_timestamp,
    alter column updated_at set default current_timestamp;
alter table v_voice_conversations_realtime
    alter column conversation_uuid set default gen_random_uuid(),
    alter column started_at set default current_timestamp,
    alter column total_turns set default 0,
    alter column transcript set default '[]',
    alter column input_tokens set default 0,
    alter column output_tokens set default 0,
    alter column audio_seconds set default 0,
    alter column estimated_cost set default 0,
    alter column created_at set default current_timestamp;

-- Foreign keys let a domain and a secretary be deleted: the domain takes both tables' rows with it, the secretary leaves
-- its conversations. Constraints have no "if not exists"; "not valid" keeps rows that are there from stopping the start.
do $$
begin
    alter table v_voice_secretaries_realtime
        add constraint v_voice_secretaries_realtime_domain_fk
        foreign key (domain_uuid) references v_domains (domain_uuid) on delete cascade not valid;
exception when duplicate_object then null;
end $$;
do $$
begin
    alter table v_voice_conversations_realtime
        add constraint v_voice_conversations_realtime_domain_fk
        foreign key (domain_uuid) references v_domains (domain_uuid) on delete cascade not valid;
exception when duplicate_object then null;
end $$;
do $$
begin
    alter table v_voice_conversations_realtime
        add constraint v_voice_conversations_realtime_secretary_fk
        foreign key (secretary_realtime_uuid) references v_voice_secretaries_realtime (secretary_realtime_uuid)
        on delete set null not valid;
exception when duplicate_object then null;
end $$;
do $$
begin
    alter table v_voice_secretaries_realtime
        add constraint v_voice_secretaries_realtime_mode_check
        check (processing_mode in ('turn_based', 'realtime', 'auto')) not valid;
exception when duplicate_object then null;
end $$;

create index if not exists idx_secretary_realtime_domain on v_voice_secretaries_realtime (domain_uuid);
create index if not exists idx_secretary_realtime_extension on v_voice_secretaries_realtime (domain_uuid, extension);
create index if not exists idx_conv_realtime_domain on v_voice_conversations_realtime (domain_uuid);
create index if not exists idx_conv_realtime_date on v_voice_conversations_realtime (domain_uuid, started_at);

-- The turn-based app's table, where that app is installed: the column that chooses between the two.
do $$
begin
    if to_regclass('v_voice_secretaries') is not null then
        alter table v_voice_secretaries
            add column if not exists processing_mode character varying(20) default 'turn_based'
            check (processing_mode in ('turn_based', 'realtime', 'auto'));
    end if;
exception when insufficient_privilege then
    raise notice 'v_voice_secretaries belongs to another role: add its processing_mode column by hand';
end $$;
