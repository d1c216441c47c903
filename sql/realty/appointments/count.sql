-- Count the appointments, since a time if given.
-- returns: value
select count(*) as total
from realty.appointments as a
where a.created_at >= :since  --?
