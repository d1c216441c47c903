-- Count the projects, since a time if given.
-- returns: value
select count(*) as total
from realty.projects as pr
where pr.created_at >= :since  --?
