-- Count the products, of one status and since a time if given.
-- returns: value
select count(*) as total
from marketplace.products as p
where
  true
  and p.status = :status      --?
  and p.created_at >= :since  --?
