-- Archive the conversations that were completed more than so many days ago, the oldest so many of
-- them; how many comes back. plainsql.layers.marketplace.maintenance does all of them.
--
-- What another run has locked is left to it. The ids go into an array, so that the rows are found
-- by their key, however the server estimates their number.
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
