-- What the caller's keys do: announcement, options and how they are taken. NULL is no menu.
alter table v_voice_secretaries_realtime add column if not exists dtmf_menu jsonb;
