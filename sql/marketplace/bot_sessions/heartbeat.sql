-- Note that a bot session is alive, and add what it has done since. Details are merged, key by key.
-- Nothing comes back where there is no such session or it has ended: the bot is to stop.
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
