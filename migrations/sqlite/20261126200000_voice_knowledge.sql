-- The same tables as in migrations/postgres. Words are found by FTS5, which has their index in a table of its own; triggers keep it.

create table if not exists v_voice_knowledge (
    knowledge_uuid text primary key not null,
    domain_uuid text not null references v_domains (domain_uuid) on delete cascade,
    knowledge_name character varying(255) not null,
    created_at datetime not null default (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    unique (domain_uuid, knowledge_uuid)
);

create table if not exists v_voice_knowledge_documents (
    document_uuid text primary key not null,
    knowledge_uuid text not null,
    domain_uuid text not null,
    document_title character varying(255) not null,
    document_source text,
    document_language character varying(50),
    document_text text not null,
    document_bytes integer not null,
    document_sha256 character varying(64) not null,
    created_at datetime not null default (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    updated_at datetime not null default (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    unique (domain_uuid, knowledge_uuid, document_uuid),
    foreign key (domain_uuid, knowledge_uuid)
        references v_voice_knowledge (domain_uuid, knowledge_uuid) on delete cascade
);

create table if not exists v_voice_knowledge_chunks (
    chunk_id integer primary key,
    document_uuid text not null,
    ordinal integer not null,
    knowledge_uuid text not null,
    domain_uuid text not null,
    chunk_heading text,
    chunk_text text not null,
    search text not null,
    unique (document_uuid, ordinal),
    foreign key (domain_uuid, knowledge_uuid, document_uuid)
        references v_voice_knowledge_documents (domain_uuid, knowledge_uuid, document_uuid) on delete cascade
);

create virtual table if not exists v_voice_knowledge_words
    using fts5 (search, content = 'v_voice_knowledge_chunks', content_rowid = 'chunk_id');

create trigger if not exists v_voice_knowledge_chunks_insert after insert on v_voice_knowledge_chunks begin
    insert into v_voice_knowledge_words (rowid, search) values (new.chunk_id, new.search);
end;

create trigger if not exists v_voice_knowledge_chunks_delete after delete on v_voice_knowledge_chunks begin
    insert into v_voice_knowledge_words (v_voice_knowledge_words, rowid, search)
    values ('delete', old.chunk_id, old.search);
end;
