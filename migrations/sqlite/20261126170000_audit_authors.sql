-- The same as in migrations/postgres, as far as a file has users and indexes. Every column is looked at but those that say when and
-- by whom a row was changed; a column that is added later has to be added here (a test compares).

alter table v_voice_audit add column database_user character varying(255);

drop trigger if exists v_voice_secretaries_realtime_audit_update;
create trigger v_voice_secretaries_realtime_audit_update after update on v_voice_secretaries_realtime begin
    insert into v_voice_audit (domain_uuid, actor, action, target, detail)
    select tenant, 'database', 'update', 'v_voice_secretaries_realtime ' || new.secretary_name, trim(changed)
    from (select old.domain_uuid as tenant union select new.domain_uuid) as tenants,
        (select case when old.domain_uuid is not new.domain_uuid then ' domain_uuid' else '' end ||
            case when old.dtmf_menu is not new.dtmf_menu then ' dtmf_menu' else '' end ||
            case when old.enable_functions is not new.enable_functions then ' enable_functions' else '' end ||
            case when old.enable_rag is not new.enable_rag then ' enable_rag' else '' end ||
            case when old.enabled is not new.enabled then ' enabled' else '' end ||
            case when old.extension is not new.extension then ' extension' else '' end ||
            case when old.first_message is not new.first_message then ' first_message' else '' end ||
            case when old.functions_config is not new.functions_config then ' functions_config' else '' end ||
            case when old.max_concurrent_calls is not new.max_concurrent_calls then ' max_concurrent_calls' else '' end ||
            case when old.max_duration_seconds is not new.max_duration_seconds then ' max_duration_seconds' else '' end ||
            case when old.max_turns is not new.max_turns then ' max_turns' else '' end ||
            case when old.processing_mode is not new.processing_mode then ' processing_mode' else '' end ||
            case when old.provider_config is not new.provider_config then ' provider_config' else '' end ||
            case when old.rag_collection_id is not new.rag_collection_id then ' rag_collection_id' else '' end ||
            case when old.realtime_provider is not new.realtime_provider then ' realtime_provider' else '' end ||
            case when old.recording is not new.recording then ' recording' else '' end ||
            case when old.recording_pause is not new.recording_pause then ' recording_pause' else '' end ||
            case when old.secretary_name is not new.secretary_name then ' secretary_name' else '' end ||
            case when old.secretary_realtime_uuid is not new.secretary_realtime_uuid then ' secretary_realtime_uuid' else '' end ||
            case when old.silence_duration_ms is not new.silence_duration_ms then ' silence_duration_ms' else '' end ||
            case when old.system_prompt is not new.system_prompt then ' system_prompt' else '' end ||
            case when old.transfer_rules is not new.transfer_rules then ' transfer_rules' else '' end ||
            case when old.vad_threshold is not new.vad_threshold then ' vad_threshold' else '' end ||
            case when old.voice_id is not new.voice_id then ' voice_id' else '' end ||
            case when old.voice_settings is not new.voice_settings then ' voice_settings' else '' end as changed)
    where changed <> '';
end;

drop trigger if exists v_voice_tenants_audit_update;
create trigger v_voice_tenants_audit_update after update on v_voice_tenants begin
    insert into v_voice_audit (domain_uuid, actor, action, target, detail)
    select tenant, 'database', 'update', 'v_voice_tenants ' || new.voice_tenant_uuid, trim(changed)
    from (select old.domain_uuid as tenant union select new.domain_uuid) as tenants,
        (select case when old.api_key_encrypted is not new.api_key_encrypted then ' api_key_encrypted' else '' end ||
            case when old.budget_alert_percent is not new.budget_alert_percent then ' budget_alert_percent' else '' end ||
            case when old.budget_webhook is not new.budget_webhook then ' budget_webhook' else '' end ||
            case when old.calls_per_minute is not new.calls_per_minute then ' calls_per_minute' else '' end ||
            case when old.default_voice is not new.default_voice then ' default_voice' else '' end ||
            case when old.domain_uuid is not new.domain_uuid then ' domain_uuid' else '' end ||
            case when old.language is not new.language then ' language' else '' end ||
            case when old.max_concurrent_calls is not new.max_concurrent_calls then ' max_concurrent_calls' else '' end ||
            case when old.monthly_budget_usd is not new.monthly_budget_usd then ' monthly_budget_usd' else '' end ||
            case when old.realtime_provider is not new.realtime_provider then ' realtime_provider' else '' end ||
            case when old.recording is not new.recording then ' recording' else '' end ||
            case when old.redact_transcripts is not new.redact_transcripts then ' redact_transcripts' else '' end ||
            case when old.refusal_notice is not new.refusal_notice then ' refusal_notice' else '' end ||
            case when old.refusal_status is not new.refusal_status then ' refusal_status' else '' end ||
            case when old.retention_days is not new.retention_days then ' retention_days' else '' end ||
            case when old.time_zone is not new.time_zone then ' time_zone' else '' end ||
            case when old.voice_tenant_uuid is not new.voice_tenant_uuid then ' voice_tenant_uuid' else '' end as changed)
    where changed <> '';
end;
