-- Archive conversations that were completed more than so many days ago; return the number.
--
-- One batch, the oldest first; ``plainsql.layers.marketplace.maintenance`` runs it until none is
-- left.
--
-- Rows that another run has locked are skipped.
--
-- Implementation: the ids go into an array, so that rows are found by primary key whatever number
-- the planner estimates.
-- returns: count
-- param days: 0..36500 = 30
-- param limit: 1..10000 = 1000
with
oldest as (
  select c.id
  from marketplace.conversations as c
  where
    c.status = 'COMPLETED'
    and c.completed_at < now() - make_interval(days => :days)
  order by c.completed_at, c.id
  limit :limit
  for no key update skip locked
)

update marketplace.conversations as c
set status = 'ARCHIVED'
where c.id = any(array(select o.id from oldest as o))
