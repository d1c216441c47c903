-- The embedding of a project; nothing where it is still to be computed.
-- returns: optional value
select pr.embedding
from realty.projects as pr
where
  pr.id = :id
  and pr.embedding is not null
