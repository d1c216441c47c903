-- The embedding of a project; no row if it is not computed yet.
-- returns: optional value
select pr.embedding
from realty.projects as pr
where
  pr.id = :id
  and pr.embedding is not null
