-- The value of a counter, from a replica that is up to five seconds behind.
-- returns: optional value
-- replica: yes, lag 5s
select c.n
from counters.counters as c
where c.id = :id
