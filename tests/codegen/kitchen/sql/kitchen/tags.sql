-- The tags of a dish; no row if there is no such dish.
-- returns: optional value
select d.tags
from dishes as d
where d.id = :id
