-- The embedding of a property; nothing where it is still to be computed.
-- returns: optional value
select p.embedding
from realty.properties as p
where
  p.id = :id
  and p.embedding is not null
