//! The shape of a configuration file: which sections and keys there are. What their values may be is checked after.
//!
//! Every value is kept as it was written and unknown keys are collected, so that one run names all mistakes.
use serde::Deserialize;
use std::collections::BTreeMap;
use toml::Value;

macro_rules! raw {
    ($(#[$doc:meta])* $name:ident { $($key:ident),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Default, Deserialize)]
        pub(super) struct $name {
            $(pub(super) $key: Option<Value>,)*
            #[serde(flatten)]
            pub(super) unknown: BTreeMap<String, Value>,
        }

        impl $name {
            pub(super) const KEYS: &[&str] = &[$(stringify!($key)),*];
        }
    };
}

raw!(
    /// `[sip]`
    RawSip {
        udp,
        tcp,
        tls,
        advertised,
        user_agent,
        dns,
        max_calls,
        strangers,
        stranger_rate,
        scanners,
        realm,
        nonce_life_s,
        peer_call_rate,
        call_rate,
    }
);
raw!(
    /// One `[[listeners]]`
    RawListener { transport, address, advertised, peers, strangers, srtp, codecs, codec_order }
);
raw!(
    /// `[tls]`
    RawTls { certificate, key, verify_clients, client_ca_file, ca_file, verify_servers }
);
raw!(
    /// One `[[peers]]`
    RawPeer { name, addresses, user, password, trusted_headers, domain, srtp, dtmf, codecs, codec_order }
);
raw!(
    /// One `[[registrations]]`
    RawRegistration {
        registrar,
        transport,
        outbound_proxy,
        domain,
        user,
        auth_user,
        password,
        contact_user,
        expires_s,
        srtp,
        codecs,
        codec_order,
        dtmf,
        ping_s,
    }
);
raw!(
    /// `[rtp]`
    RawRtp {
        address,
        ports,
        codecs,
        codec_order,
        comfort_noise,
        learn,
        silence_warning_s,
        media_timeout_s,
        hold_timeout_s,
        poor_below_mos,
        srtp,
        dtmf,
    }
);
raw!(
    /// `[database]`
    RawDatabase { url, pool, spill }
);
raw!(
    /// `[openai]`
    RawOpenAi {
        api_key,
        url,
        model,
        transcription_model,
        ca_file,
        noise_reduction,
        idle_timeout_ms,
        reasoning_effort,
        max_output_tokens,
        truncation,
        tool_choice,
        mcp_servers,
    }
);
raw!(
    /// `[azure]`
    RawAzure { api_key, endpoint, deployment, model, transcription_model }
);
raw!(
    /// `[live]`
    RawLive { api_key, url, model, backend_model }
);
raw!(
    /// `[gemini]`
    RawGemini { api_key, url, api_version, model, voice, ca_file }
);
raw!(
    /// `[elevenlabs]`
    RawElevenLabs { api_key, url, agent_id, ca_file }
);
raw!(
    /// One `[[services]]`
    RawService { name, protocol, url, api_key, ca_file, prices }
);
raw!(
    /// `[pipeline]`
    RawPipeline { stt, llm, tts, voice, reasoning_effort, endpointing_ms, filler }
);
raw!(
    /// `[turn_based]`
    RawTurnBased { stt, llm, tts, voice, reasoning_effort, filler }
);
raw!(
    /// `[local]`
    RawLocal { models_dir, threads, language }
);
raw!(
    /// `[call]`
    RawCall {
        ready_deadline_s,
        replacement_deadline_ms,
        filler_after_ms,
        answer_deadline_ms,
        announce_deadline_s,
        notify_deadline_s,
        bye_after_transfer_ms,
        farewell_deadline_s,
        menu_deadline_s,
        max_queued_s,
        drain_s,
        fallback_extension,
    }
);
raw!(
    /// `[media]`
    RawMedia { threads, reorder_window_ms, inband_dtmf, noise_suppression, vad, echo }
);
raw!(
    /// `[recording]`
    RawRecording {
        enabled,
        directory,
        node,
        format,
        announcement,
        pause_sound,
        pause_on_dtmf_s,
        listen_in,
        key,
        s3_endpoint,
        s3_bucket,
        s3_region,
        s3_access_key,
        s3_secret_key,
        s3_prefix,
        s3_keep_local,
    }
);
raw!(
    /// `[limits]`
    RawLimits { provider_calls, refusal, notice, notices, reservation_usd, unpriced, webhooks }
);
raw!(
    /// `[redis]`
    RawRedis { url }
);
raw!(
    /// `[secrets]`
    RawSecrets { master_keys }
);
raw!(
    /// One `[[tenants]]`
    RawTenant {
        domain,
        provider,
        api_key,
        voice,
        language,
        time_zone,
        max_concurrent_calls,
        calls_per_minute,
        monthly_budget_usd,
        budget_alert_percent,
        budget_webhook,
        recording,
        redact,
        retention_days,
        refusal,
        notice,
    }
);
raw!(
    /// `[log]`
    RawLog { level, json, domains, keep_days }
);
raw!(
    /// `[trace]`
    RawTrace { calls, memory_mib, hep, hep_id, hep_password }
);
raw!(
    /// `[control]`
    RawControl { socket }
);
raw!(
    /// `[api]`
    RawApi { listen, certificate, key, plain, connections, connections_per_address, open_pages }
);
raw!(
    /// One `[[secretaries]]`
    RawSecretary {
        domain,
        name,
        extension,
        mode,
        provider,
        ladder,
        model,
        stt,
        llm,
        tts,
        agent_id,
        language,
        transcription_model,
        turn_detection,
        voice,
        voice_speed,
        prompt,
        first_message,
        vad_threshold,
        silence_duration_ms,
        answers,
        transfer_rules,
        dtmf_menu,
        enable_functions,
        functions,
        enable_rag,
        rag_collection_id,
        max_duration_seconds,
        max_turns,
        recording,
        recording_pause,
        max_concurrent_calls,
        enabled,
    }
);

/// Sections that are one table, with their keys: what `RAMAL_<SECTION>_<KEY>` may name.
pub(super) const SECTIONS: [(&str, &[&str]); 22] = [
    ("sip", RawSip::KEYS),
    ("tls", RawTls::KEYS),
    ("rtp", RawRtp::KEYS),
    ("database", RawDatabase::KEYS),
    ("openai", RawOpenAi::KEYS),
    ("azure", RawAzure::KEYS),
    ("live", RawLive::KEYS),
    ("gemini", RawGemini::KEYS),
    ("elevenlabs", RawElevenLabs::KEYS),
    ("pipeline", RawPipeline::KEYS),
    ("turn_based", RawTurnBased::KEYS),
    ("local", RawLocal::KEYS),
    ("call", RawCall::KEYS),
    ("media", RawMedia::KEYS),
    ("recording", RawRecording::KEYS),
    ("limits", RawLimits::KEYS),
    ("redis", RawRedis::KEYS),
    ("secrets", RawSecrets::KEYS),
    ("log", RawLog::KEYS),
    ("trace", RawTrace::KEYS),
    ("control", RawControl::KEYS),
    ("api", RawApi::KEYS),
];

/// Sections that are lists of tables.
pub(super) const LISTS: [(&str, &[&str]); 6] = [
    ("listeners", RawListener::KEYS),
    ("peers", RawPeer::KEYS),
    ("registrations", RawRegistration::KEYS),
    ("tenants", RawTenant::KEYS),
    ("services", RawService::KEYS),
    ("secretaries", RawSecretary::KEYS),
];
