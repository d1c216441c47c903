-- Remove the bot sessions that were last heard of before a time, the oldest so many of them; how
-- many comes back. plainsql.layers.marketplace.maintenance does all of them.
--
-- What another run has locked is left to it.
-- returns: count
-- param limit: 1..10000 = 1000
with
oldest as (
  select s.id
  from marketplace.bot_sessions as s
  where s.last_activity_at < :before
  order by s.last_activity_at, s.id
  limit :limit
  for update skip locked
)

delete from marketplace.bot_sessions as s
using oldest as o
where s.id = o.id
