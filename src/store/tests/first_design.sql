-- The tables as the product's first design wrote them.
CREATE TABLE v_voice_secretaries_realtime (
    secretary_realtime_uuid UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    domain_uuid UUID NOT NULL REFERENCES v_domains(domain_uuid),
    
    -- Identificação
    secretary_name VARCHAR(255) NOT NULL,
    extension VARCHAR(15),
    
    -- Provider principal
    realtime_provider VARCHAR(50) NOT NULL,  -- openai, elevenlabs, gemini, custom
    provider_config JSONB NOT NULL DEFAULT '{}',
    
    -- Configurações de voz
    voice_id VARCHAR(100),
    voice_settings JSONB DEFAULT '{}',
    
    -- Personalidade
    system_prompt TEXT,
    first_message TEXT,
    
    -- VAD Settings
    vad_threshold DECIMAL(3,2) DEFAULT 0.5,
    silence_duration_ms INTEGER DEFAULT 500,
    
    -- Knowledge Base (RAG)
    enable_rag BOOLEAN DEFAULT false,
    rag_collection_id UUID,
    
    -- Function Calling
    enable_functions BOOLEAN DEFAULT false,
    functions_config JSONB DEFAULT '[]',
    
    -- Transfer Rules
    transfer_rules JSONB DEFAULT '[]',
    
    -- Limits
    max_duration_seconds INTEGER DEFAULT 300,
    max_turns INTEGER DEFAULT 50,
    
    -- Status
    enabled BOOLEAN DEFAULT true,
    
    -- Audit
    created_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP
);

-- Índices multi-tenant
CREATE INDEX idx_secretary_realtime_domain ON v_voice_secretaries_realtime(domain_uuid);
CREATE INDEX idx_secretary_realtime_extension ON v_voice_secretaries_realtime(domain_uuid, extension);
CREATE TABLE v_voice_conversations_realtime (
    conversation_uuid UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    domain_uuid UUID NOT NULL REFERENCES v_domains(domain_uuid),
    secretary_realtime_uuid UUID REFERENCES v_voice_secretaries_realtime,
    
    -- Call info
    call_uuid VARCHAR(255) NOT NULL,
    caller_id VARCHAR(100),
    destination VARCHAR(100),
    
    -- Timing
    started_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP,
    ended_at TIMESTAMP WITH TIME ZONE,
    duration_seconds INTEGER,
    
    -- Metrics
    total_turns INTEGER DEFAULT 0,
    avg_latency_ms INTEGER,
    
    -- Transcript
    transcript JSONB DEFAULT '[]',
    
    -- Outcome
    outcome VARCHAR(50),  -- completed, transferred, abandoned, timeout
    transfer_destination VARCHAR(100),
    
    -- Cost tracking
    input_tokens INTEGER DEFAULT 0,
    output_tokens INTEGER DEFAULT 0,
    audio_seconds DECIMAL(10,2) DEFAULT 0,
    estimated_cost DECIMAL(10,4) DEFAULT 0,
    
    -- Audit
    created_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP
);

CREATE INDEX idx_conv_realtime_domain ON v_voice_conversations_realtime(domain_uuid);
CREATE INDEX idx_conv_realtime_date ON v_voice_conversations_realtime(domain_uuid, started_at);
