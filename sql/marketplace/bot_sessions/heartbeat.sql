-- Report that a bot session is alive, and add its actions and errors since the last report.
--
-- The details are merged, key by key. No row is returned if there is no such session or it has
-- ended: the bot should stop.
-- returns: optional BotSession
-- param actions: 0.. = 0
-- param errors: 0.. = 0
update marketplace.bot_sessions as s
set
  details = s.details || :details,  --?
  actions_count = s.actions_count + :actions,
  errors_count = s.errors_count + :errors,
  last_activity_at = greatest(s.last_activity_at, now())
where
  s.session_key = :session_key
  and s.ended_at is null
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
