-- List all leads in order of id; meant to be streamed.
-- returns: many Lead
select
  l.id,
  l.name,
  l.email,
  l.score,
  l.created_at
from bench.leads as l
order by l.id
