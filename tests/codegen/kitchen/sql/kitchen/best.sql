-- The most stars, or null where no dish has any.
-- returns: value
select max(d.stars) as stars
from dishes as d
