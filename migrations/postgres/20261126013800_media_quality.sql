-- How a call sounded, as one JSON object: NULL for calls without audio, and for those before this column.
alter table v_voice_conversations_realtime add column if not exists media_quality jsonb;
