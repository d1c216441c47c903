-- The lead with this id.
-- returns: optional Lead
select
  l.id,
  l.name,
  l.email,
  l.score,
  l.created_at
from bench.leads as l
where l.id = :id
