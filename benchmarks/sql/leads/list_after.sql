-- List the leads after an id, in order of id.
-- returns: many Lead
-- param limit: 1..1000
select
  l.id,
  l.name,
  l.email,
  l.score,
  l.created_at
from bench.leads as l
where l.id > :after
order by l.id
limit :limit
