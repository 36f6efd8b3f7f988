-- The same column as in migrations/postgres.
alter table v_voice_conversations_realtime add column billed_cost real;
