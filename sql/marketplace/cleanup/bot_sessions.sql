-- Delete bot sessions that were last active more than so many days ago; return the number.
--
-- One batch, the oldest first; ``plainsql.layers.marketplace.maintenance`` runs it until none is
-- left.
--
-- Rows that another run has locked are skipped.
--
-- Implementation: the ids go into an array, so that rows are found by primary key whatever number
-- the planner estimates.
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
