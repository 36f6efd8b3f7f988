-- Recordings: whose calls are recorded (null: as the server's configuration says), who may pause them, and what became of
-- each. As in the first migration every statement can be repeated.

alter table v_voice_secretaries_realtime add column if not exists recording boolean;
alter table v_voice_secretaries_realtime add column if not exists recording_pause boolean default false;
alter table v_voice_conversations_realtime add column if not exists recording jsonb;
