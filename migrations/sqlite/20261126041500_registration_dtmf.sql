-- The same column as in migrations/postgres.

alter table v_voice_registrations add column dtmf character varying(8);
