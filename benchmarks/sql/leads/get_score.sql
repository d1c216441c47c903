-- The score of the lead with this id.
-- returns: value
select l.score
from bench.leads as l
where l.id = :id
