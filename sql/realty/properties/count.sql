-- Count the properties, since a time if given.
-- returns: value
select count(*) as total
from realty.properties as p
where p.created_at >= :since  --?
