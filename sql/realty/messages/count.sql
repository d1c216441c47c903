-- Count the messages, since a time if given.
-- returns: value
select count(*) as total
from realty.messages as m
where m.created_at >= :since  --?
