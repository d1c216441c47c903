-- The tags of a dish, or nothing.
-- returns: optional value
select d.tags
from dishes as d
where d.id = :id
