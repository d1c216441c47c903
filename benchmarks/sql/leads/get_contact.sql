-- The name and the address of the lead with this id.
-- returns: optional Contact
select
  l.name,
  l.email
from bench.leads as l
where l.id = :id
