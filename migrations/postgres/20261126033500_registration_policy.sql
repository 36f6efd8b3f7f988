-- What an account says of its calls' audio and of its registrar, beside what it is. Nothing in a column is what is said
-- elsewhere (srtp), or never (ping_seconds).

alter table v_voice_registrations add column if not exists srtp character varying(8);
alter table v_voice_registrations add column if not exists ping_seconds integer;
