-- The codecs of an account's calls, the preferred first and commas between them, and whose order chooses (theirs or ours);
-- nothing for what is said elsewhere.

alter table v_voice_registrations add column if not exists codecs character varying(255);
alter table v_voice_registrations add column if not exists codec_order character varying(6);
