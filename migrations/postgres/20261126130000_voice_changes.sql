-- Says to whoever listens that secretaries or tenants changed, so that the next call has them. One function for all tables; a
-- statement notifies once, whatever it changes. As in the first migration every statement can be repeated.

create or replace function ramal_changed() returns trigger language plpgsql as $$
begin
    perform pg_notify('ramal_changed', tg_table_name);
    return null;
end $$;

drop trigger if exists ramal_changed on v_voice_secretaries_realtime;
create trigger ramal_changed after insert or update or delete or truncate on v_voice_secretaries_realtime
    for each statement execute function ramal_changed();
drop trigger if exists ramal_changed on v_voice_tenants;
create trigger ramal_changed after insert or update or delete or truncate on v_voice_tenants
    for each statement execute function ramal_changed();

-- FusionPBX's own table may belong to another role. Without it a renamed or disabled domain is noticed within a minute.
do $$
begin
    drop trigger if exists ramal_changed on v_domains;
    create trigger ramal_changed after insert or update or delete or truncate on v_domains
        for each statement execute function ramal_changed();
exception when insufficient_privilege then
    raise notice 'v_domains belongs to another role: changes of domains are noticed within a minute';
end $$;
