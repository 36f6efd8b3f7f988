-- What the role of postgres-role.sql needs beyond it for the HTTP API (docs/api.md): tokens are made and revoked (`ramal tokens`),
-- secretaries deleted, settings of tenants changed, and knowledge kept. Run it after that script, in the same way.

grant insert, update (revoked_at) on v_voice_api_tokens to ramal;
grant delete on v_voice_secretaries_realtime to ramal;
grant update (realtime_provider, api_key_encrypted, default_voice, language, time_zone, max_concurrent_calls, calls_per_minute,
    monthly_budget_usd, budget_alert_percent, budget_webhook, recording, redact_transcripts, retention_days, refusal_status,
    refusal_notice, update_date) on v_voice_tenants to ramal;
grant insert, delete on v_voice_knowledge, v_voice_knowledge_documents, v_voice_knowledge_chunks to ramal;
grant update (document_title, document_source, document_language, document_text, document_bytes, document_sha256, updated_at)
    on v_voice_knowledge_documents to ramal;
