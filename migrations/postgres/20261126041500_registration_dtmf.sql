-- How keys pass in the calls of an account: auto, rfc4733, info or inband; nothing for what is said elsewhere.

alter table v_voice_registrations add column if not exists dtmf character varying(8);
