-- The fact with this number.
-- returns: optional Fact
select
  f.id,
  f.fact
from soak.facts as f
where f.id = :id
