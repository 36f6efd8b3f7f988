-- The same table as in migrations/postgres.

create table if not exists v_voice_registrations (
    registration_uuid text primary key not null
        default (lower(printf('%s-%s-4%s-%s%s-%s', hex(randomblob(4)), hex(randomblob(2)), substr(hex(randomblob(2)), 2),
            substr('89AB', 1 + (abs(random()) % 4), 1), substr(hex(randomblob(2)), 2), hex(randomblob(6))))),
    domain_uuid text not null references v_domains (domain_uuid) on delete cascade,
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
    lease_until datetime,
    state character varying(20),
    status_code integer,
    state_at datetime,
    next_at datetime,
    created_at datetime default (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    updated_at datetime default (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
);

create index if not exists idx_voice_registrations_domain on v_voice_registrations (domain_uuid);
