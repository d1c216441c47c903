-- The value of a counter, which is cached.
-- returns: optional value
-- cache: 1m
select c.n
from counters.counters as c
where c.id = :id
