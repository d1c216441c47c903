-- The value of a counter, from wherever the executor reads.
-- returns: optional value
select c.n
from counters.counters as c
where c.id = :id
