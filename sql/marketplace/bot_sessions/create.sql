-- Insert a bot session as it was: for imports.
--
-- The bot starts its sessions with ``open``.
-- returns: one BotSession
-- param started_at: = null
-- param last_activity_at: = null
-- param ended_at: = null
-- param actions_count: = 0
-- param errors_count: = 0
-- param details: = null
insert into marketplace.bot_sessions as s (
  session_key,
  started_at,
  last_activity_at,
  ended_at,
  actions_count,
  errors_count,
  details
)
values (
  :session_key,
  coalesce(:started_at, now()),
  coalesce(:last_activity_at, now()),
  :ended_at,
  :actions_count,
  :errors_count,
  coalesce(:details, cast('{}' as jsonb))
)
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
