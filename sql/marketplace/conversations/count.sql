-- Count the conversations, of one status and since a time if given.
-- returns: value
select count(*) as total
from marketplace.conversations as c
where
  true
  and c.status = :status      --?
  and c.created_at >= :since  --?
