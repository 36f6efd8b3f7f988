-- Who may use the HTTP API. Of a token only SHA-256 of its secret part is kept: whoever reads this table can use none. A null domain is
-- a token that may name any. As in the first migration every statement can be repeated.

create table if not exists v_voice_api_tokens (
    api_token_uuid uuid primary key default gen_random_uuid(),
    domain_uuid uuid,
    token_id character varying(32) not null,
    token_name character varying(100) not null,
    token_hash character varying(64) not null,
    created_at timestamp with time zone not null default current_timestamp,
    expires_at timestamp with time zone,
    last_used_at timestamp with time zone,
    revoked_at timestamp with time zone
);

create unique index if not exists idx_voice_api_tokens_id on v_voice_api_tokens (token_id);

-- A token goes with its domain: it must not outlive it and become a token for all.
do $$
begin
    alter table v_voice_api_tokens
        add constraint v_voice_api_tokens_domain_fk
        foreign key (domain_uuid) references v_domains (domain_uuid) on delete cascade not valid;
exception when duplicate_object then null;
end $$;
