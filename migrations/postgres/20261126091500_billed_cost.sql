-- What the provider charged for a call, in dollars, where it tells some time after it: NULL where it does not, or has not.
alter table v_voice_conversations_realtime add column if not exists billed_cost numeric(10,4);
