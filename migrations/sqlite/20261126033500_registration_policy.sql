-- The same columns as in migrations/postgres.

alter table v_voice_registrations add column srtp character varying(8);
alter table v_voice_registrations add column ping_seconds integer;
