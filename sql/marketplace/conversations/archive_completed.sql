-- Archive the conversations that were completed before a time, the oldest so many of them; how many
-- comes back. plainsql.layers.marketplace.maintenance does all of them.
--
-- What another run has locked is left to it.
-- returns: count
-- param limit: 1..10000 = 1000
with
oldest as (
  select c.id
  from marketplace.conversations as c
  where
    c.status = 'COMPLETED'
    and c.completed_at < :before
  order by c.completed_at, c.id
  limit :limit
  for no key update skip locked
)

update marketplace.conversations as c
set status = 'ARCHIVED'
from oldest as o
where c.id = o.id
