-- End a bot session.
--
-- No row is returned if there is no such session or it has already ended.
-- returns: optional BotSession
update marketplace.bot_sessions as s
set
  ended_at = greatest(s.started_at, now()),
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
