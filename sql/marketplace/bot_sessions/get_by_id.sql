-- The bot session with this id.
-- returns: optional BotSession
select
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
from marketplace.bot_sessions as s
where s.id = :id
