-- What the secretaries of a tenant may look up: collections of documents, and these in pieces that are found by their words. A document
-- goes with its collection, and all with the domain; what is in one tenant's collection cannot be another's document. As in the first
-- migration every statement can be repeated.

create table if not exists v_voice_knowledge (
    knowledge_uuid uuid primary key default gen_random_uuid(),
    domain_uuid uuid not null,
    knowledge_name character varying(255) not null,
    created_at timestamp with time zone not null default current_timestamp,
    unique (domain_uuid, knowledge_uuid)
);

do $$
begin
    alter table v_voice_knowledge
        add constraint v_voice_knowledge_domain_fk
        foreign key (domain_uuid) references v_domains (domain_uuid) on delete cascade not valid;
exception when duplicate_object then null;
end $$;

create table if not exists v_voice_knowledge_documents (
    document_uuid uuid primary key default gen_random_uuid(),
    knowledge_uuid uuid not null,
    domain_uuid uuid not null,
    document_title character varying(255) not null,
    document_source text,
    document_language character varying(50),
    document_text text not null,
    document_bytes integer not null,
    document_sha256 character varying(64) not null,
    created_at timestamp with time zone not null default current_timestamp,
    updated_at timestamp with time zone not null default current_timestamp,
    unique (domain_uuid, knowledge_uuid, document_uuid),
    constraint v_voice_knowledge_documents_knowledge_fk foreign key (domain_uuid, knowledge_uuid)
        references v_voice_knowledge (domain_uuid, knowledge_uuid) on delete cascade
);

-- The words of each piece, of its heading and of its document's title, as the configuration of the document's language knows them. Its
-- collection is a word of its own among them, so that the index leads to the pieces of one collection, however often others say the
-- same. (A column of type regconfig would stop pg_upgrade.)
create table if not exists v_voice_knowledge_chunks (
    document_uuid uuid not null,
    ordinal integer not null,
    knowledge_uuid uuid not null,
    domain_uuid uuid not null,
    chunk_heading text,
    chunk_text text not null,
    search tsvector not null,
    primary key (document_uuid, ordinal),
    constraint v_voice_knowledge_chunks_document_fk foreign key (domain_uuid, knowledge_uuid, document_uuid)
        references v_voice_knowledge_documents (domain_uuid, knowledge_uuid, document_uuid) on delete cascade
);

-- Documents are read far more often than they are written: what is written goes into the index at once, and not into a list beside it
-- that each search would have to read.
create index if not exists idx_voice_knowledge_chunks_search on v_voice_knowledge_chunks using gin (search) with (fastupdate = off);
