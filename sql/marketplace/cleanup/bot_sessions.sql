-- Remove the bot sessions that were last heard of more than so many days ago, the oldest so many of
-- them; how many comes back. plainsql.layers.marketplace.maintenance does all of them.
--
-- What another run has locked is left to it. The ids go into an array, so that the rows are found
-- by their key, however the server estimates their number.
-- returns: count
-- param days: 0..36500 = 7
-- param limit: 1..10000 = 1000
with
oldest as (
  select s.id
  from marketplace.bot_sessions as s
  where s.last_activity_at < now() - make_interval(days => :days)
  order by s.last_activity_at, s.id
  limit :limit
  for update skip locked
)

delete from marketplace.bot_sessions as s
where s.id = any(array(select o.id from oldest as o))
