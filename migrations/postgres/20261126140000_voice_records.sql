-- Records of conversations: what is said in them is found by its words, and changes of what is configured have an author. As in the
-- first migration every statement can be repeated.

-- Numbers of cards and e-mail addresses are not kept.
alter table v_voice_tenants add column if not exists redact_transcripts boolean;

-- Every word of both sides in lower case without accents, a space before each.
alter table v_voice_conversations_realtime add column if not exists search_text text;
create index if not exists idx_voice_conversations_words
    on v_voice_conversations_realtime using gin (to_tsvector('simple', coalesce(search_text, '')));
create index if not exists idx_voice_conversations_caller on v_voice_conversations_realtime (domain_uuid, caller_id);

-- Who changed what: which columns, never what stood or stands in them. It outlives its domain.
create table if not exists v_voice_audit (
    voice_audit_uuid uuid primary key default gen_random_uuid(),
    domain_uuid uuid,
    happened_at timestamp with time zone not null default current_timestamp,
    actor character varying(255) not null,
    action character varying(50) not null,
    target character varying(255),
    detail text
);

create index if not exists idx_voice_audit_domain on v_voice_audit (domain_uuid, happened_at);

-- Runs as the owner of the tables: whoever may change a row need not be able to write, or to unwrite, what is told of it. Ramal says
-- who it is (ramal.actor), FusionPBX's pages name their user in the row (update_user).
create or replace function ramal_audit() returns trigger language plpgsql security definer as $$
declare
    old_row jsonb := case when tg_op = 'INSERT' then '{}'::jsonb else to_jsonb(old) end;
    new_row jsonb := case when tg_op = 'DELETE' then '{}'::jsonb else to_jsonb(new) end;
    some_row jsonb := case when tg_op = 'DELETE' then old_row else new_row end;
    changed text;
begin
    select string_agg(key, ' ' order by key) into changed
    from (select key from jsonb_object_keys(old_row || new_row) as key) as keys
    where old_row -> key is distinct from new_row -> key
        and key not in ('created_at', 'updated_at', 'insert_date', 'insert_user', 'update_date', 'update_user');
    if changed is null then
        return null;
    end if;
    insert into v_voice_audit (domain_uuid, actor, action, target, detail) values (
        cast(some_row ->> 'domain_uuid' as uuid),
        coalesce(
            nullif(current_setting('ramal.actor', true), ''),
            -- Whoever changes a row by other means leaves the name of who changed it last.
            case when new_row -> 'update_date' is distinct from old_row -> 'update_date'
                then 'user ' || (new_row ->> 'update_user') end,
            session_user),
        lower(tg_op),
        left(tg_table_name || ' ' || coalesce(some_row ->> 'secretary_name', some_row ->> 'voice_tenant_uuid', ''), 255),
        case when tg_op = 'UPDATE' then changed end);
    return null;
end $$;

drop trigger if exists ramal_audit on v_voice_secretaries_realtime;
create trigger ramal_audit after insert or update or delete on v_voice_secretaries_realtime
    for each row execute function ramal_audit();
drop trigger if exists ramal_audit on v_voice_tenants;
create trigger ramal_audit after insert or update or delete on v_voice_tenants
    for each row execute function ramal_audit();

-- The function finds its table wherever the tables are, and nowhere else.
do $$
begin
    execute format('alter function ramal_audit() set search_path = %I, pg_temp', current_schema());
end $$;
