-- Start the bot session with this key, or continue it if it has not ended.
--
-- A bot that restarts finds its counts again. No row is returned if a session with this key has
-- ended: keys are not used twice.
-- returns: optional BotSession
-- param details: = null
insert into marketplace.bot_sessions as s (session_key, details)
values (:session_key, coalesce(:details, cast('{}' as jsonb)))
on conflict (session_key) do update
  set
    last_activity_at = now(),
    details = s.details || excluded.details
  where s.ended_at is null
returning
  s.id,
  s.session_key,
  s.started_at,
  s.last_activity_at,
  s.ended_at,
  s.actions_count,
  s.errors_count,
  s.details,
  s.created_at,
  s.updated_at
