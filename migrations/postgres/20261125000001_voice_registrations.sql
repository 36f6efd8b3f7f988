-- The accounts that Ramal registers for a tenant, beside those of its configuration file. As in the first migration every
-- statement can be repeated. The columns from owner on are Ramal's own: which node has the account, and how it stands.

create table if not exists v_voice_registrations (
    registration_uuid uuid primary key default gen_random_uuid(),
    domain_uuid uuid not null,
    registrar character varying(255) not null,
    outbound_proxy character varying(255),
    transport character varying(5),
    from_domain character varying(255),
    username character varying(100) not null,
    auth_username character varying(100),
    password text not null,
    contact_user character varying(100),
    expire_seconds integer default 300,
    enabled boolean default true,
    registration_description text,
    owner character varying(255),
    lease_until timestamp with time zone,
    state character varying(20),
    status_code integer,
    state_at timestamp with time zone,
    next_at timestamp with time zone,
    created_at timestamp with time zone default current_timestamp,
    updated_at timestamp with time zone default current_timestamp
);

create index if not exists idx_voice_registrations_domain on v_voice_registrations (domain_uuid);
