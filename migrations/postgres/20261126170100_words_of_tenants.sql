-- Words are found within their tenant: it is a word of its own among those that were said, so that the index leads to the rows of
-- one tenant, however often others said the same. (btree_gin, which has a column for that, is an extension that a server may
-- lack.) Conversations are read while the index is made; those that end meanwhile wait, or are spilled and kept afterwards.
create index if not exists idx_voice_conversations_tenant_words on v_voice_conversations_realtime
    using gin (to_tsvector('simple', 'd' || replace(cast(domain_uuid as text), '-', '') || coalesce(search_text, '')));

-- Only now is anybody kept from reading, and not for long.
set local lock_timeout = '5s';
drop index if exists idx_voice_conversations_words;
