-- All counters, for streams.
-- returns: many Counter
select
  c.id,
  c.n
from counters.counters as c
order by c.id
