-- List bot sessions, newest first.
--
-- For the next page, pass the last row's ``created_at`` and ``id``.
-- returns: many BotSession
-- param limit: 1..200 = 50
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
where (s.created_at, s.id) < (:after_created_at, :after_id)  --?
order by s.created_at desc, s.id desc
limit :limit
