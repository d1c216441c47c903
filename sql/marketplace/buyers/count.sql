-- Count the buyers, since a time if given.
-- returns: value
select count(*) as total
from marketplace.buyers as b
where b.created_at >= :since  --?
