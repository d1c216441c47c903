-- Count the conversations, since a time if given.
-- returns: value
select count(*) as total
from realty.conversations as c
where c.created_at >= :since  --?
