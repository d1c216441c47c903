-- List the bot sessions that have not ended, the longest silent first, to find the ones that died.
--
-- If a time is given, only sessions that were silent since then are listed. For the next page, pass
-- the last row's ``last_activity_at`` and ``id``.
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
where
  s.ended_at is null
  and s.last_activity_at < :silent_since                                 --?
  and (s.last_activity_at, s.id) > (:after_last_activity_at, :after_id)  --?
order by s.last_activity_at, s.id
limit :limit
