-- The highest number of stars, or null if no dish has any.
-- returns: value
select max(d.stars) as stars
from dishes as d
