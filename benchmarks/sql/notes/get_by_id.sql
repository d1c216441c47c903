-- The note with this id, of the session's tenant.
-- returns: optional Note
select
  n.id,
  n.title,
  n.body,
  n.created_at
from bench.notes as n
where n.id = :id
