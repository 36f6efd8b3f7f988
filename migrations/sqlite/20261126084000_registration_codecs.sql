-- The same columns as in migrations/postgres.

alter table v_voice_registrations add column codecs character varying(255);
alter table v_voice_registrations add column codec_order character varying(6);
