-- The same columns as in migrations/postgres.

alter table v_voice_secretaries_realtime add column recording boolean;
alter table v_voice_secretaries_realtime add column recording_pause boolean default false;
alter table v_voice_conversations_realtime add column recording text;
