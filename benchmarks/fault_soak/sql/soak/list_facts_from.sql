-- List five facts, from a number on.
-- returns: many Fact
select
  f.id,
  f.fact
from soak.facts as f
where f.id >= :first
order by f.id
limit 5
