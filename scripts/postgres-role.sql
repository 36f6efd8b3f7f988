-- The role of a running server, which may do what it does and nothing else. Run it as the owner of the tables, in FusionPBX's
-- database, after `ramal serve` (or `ramal conversations`) has once made them as that owner, and again after an upgrade of Ramal:
--
--     psql -d fusionpbx -f postgres-role.sql
--     psql -d fusionpbx -c "\password ramal"
--
-- Then database.url = "postgres://ramal:…@127.0.0.1/fusionpbx". Such a server makes no tables and no domains. When a version of
-- Ramal comes with changes of the tables it says so at the start, and has to be run once as their owner.

do $$
begin
    create role ramal login;
exception when duplicate_object or unique_violation then null;
end $$;

do $$
begin
    execute format('grant connect on database %I to ramal', current_database());
    execute format('grant usage on schema %I to ramal', current_schema());
end $$;

-- Which migrations ran, and which tenants there are.
grant select on _ramal_migrations, v_domains to ramal;
-- Secretaries, and those of the configuration file.
grant select, insert, update on v_voice_secretaries_realtime to ramal;
-- Accounts: who has each, and how it stands.
grant select, update (owner, lease_until, state, status_code, state_at, next_at) on v_voice_registrations to ramal;
-- Tenants, and their own keys (`ramal keys`).
grant select, insert, update (realtime_provider, api_key_encrypted, update_date) on v_voice_tenants to ramal;
-- Conversations: kept, billed, told where their recording is, and deleted when their time is over or somebody asks for it.
grant select, insert, update (billed_cost, recording), delete on v_voice_conversations_realtime to ramal;
-- What calls cost, which stays whatever becomes of the conversations; and of which budgets somebody was told.
grant select, insert, update (talked_ms, input_tokens, output_tokens, cost_micro_usd, billed_micro_usd, node_uuid)
    on v_voice_usage to ramal;
grant select, insert on v_voice_budget_alerts to ramal;
-- Who did what: written, never changed.
grant select, insert on v_voice_audit to ramal;
-- What the secretaries look up.
grant select on v_voice_knowledge, v_voice_knowledge_documents, v_voice_knowledge_chunks to ramal;
-- Tokens of the HTTP API: whose a request is, and that it was used. To change anything through it: postgres-role-api.sql.
grant select, update (last_used_at) on v_voice_api_tokens to ramal;
