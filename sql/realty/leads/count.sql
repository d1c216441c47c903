-- Count the leads, since a time if given.
-- returns: value
select count(*) as total
from realty.leads as l
where l.created_at >= :since  --?
