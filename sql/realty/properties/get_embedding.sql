-- The embedding of a property; no row if it is not computed yet.
-- returns: optional value
select p.embedding
from realty.properties as p
where
  p.id = :id
  and p.embedding is not null
