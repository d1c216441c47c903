-- Change the given columns of a bot session, and leave the others.
--
-- ``heartbeat`` continues a session, and ``close`` ends it.
-- returns: optional BotSession
update marketplace.bot_sessions as s
set
  started_at = :started_at,              --?
  last_activity_at = :last_activity_at,  --?
  ended_at = :ended_at,                  --?
  actions_count = :actions_count,        --?
  errors_count = :errors_count,          --?
  details = :details,                    --?
  updated_at = s.updated_at
where s.id = :id
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
