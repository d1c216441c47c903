-- List all facts, in order.
-- returns: many Fact
-- allow: unbounded: an export is read as a stream
select
  f.id,
  f.fact
from soak.facts as f
order by f.id
