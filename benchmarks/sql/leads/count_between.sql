-- The number of leads with ids from one to another.
-- returns: value
select count(*)
from bench.leads as l
where l.id between :low and :high
