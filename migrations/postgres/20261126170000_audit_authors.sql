-- The audit has two authors: who was said to do something, and the database's own user, of whom nobody can say otherwise; a row
-- that goes from one tenant to another is told of in both. As in the first migration every statement can be repeated.

-- Whoever saves a secretary writes the audit: rather a server that does not start than a page that hangs.
set local lock_timeout = '5s';

alter table v_voice_audit add column if not exists database_user character varying(255);

create or replace function ramal_audit_user() returns trigger language plpgsql as $$
begin
    new.database_user := left(
        session_user || case when current_setting('role') in ('none', session_user::text) then ''
            else ' as ' || current_setting('role') end,
        255);
    return new;
end $$;

drop trigger if exists ramal_audit_user on v_voice_audit;
create trigger ramal_audit_user before insert on v_voice_audit for each row execute function ramal_audit_user();

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
    insert into v_voice_audit (domain_uuid, actor, action, target, detail)
    select
        tenant,
        coalesce(
            nullif(current_setting('ramal.actor', true), ''),
            -- Whoever changes a row by other means leaves the name of who changed it last.
            case when new_row -> 'update_date' is distinct from old_row -> 'update_date'
                then 'user ' || (new_row ->> 'update_user') end,
            session_user),
        lower(tg_op),
        left(tg_table_name || ' ' || coalesce(some_row ->> 'secretary_name', some_row ->> 'voice_tenant_uuid', ''), 255),
        case when tg_op = 'UPDATE' then changed end
    from (
        select distinct cast(one ->> 'domain_uuid' as uuid) as tenant
        from unnest(array[old_row, new_row]) as one where one ->> 'domain_uuid' is not null
    ) as tenants;
    return null;
end $$;

-- The functions find their table wherever the tables are, and nowhere else.
do $$
begin
    execute format('alter function ramal_audit() set search_path = %I, pg_temp', current_schema());
end $$;
