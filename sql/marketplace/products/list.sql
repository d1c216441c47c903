-- List products, newest first, of one status if given.
--
-- For the next page, pass the last row's ``created_at`` and ``id``.
-- returns: many Product
-- param limit: 1..200 = 50
select
  p.id,
  p.wallapop_id,
  p.title,
  p.description,
  p.price,
  p.currency,
  p.status,
  p.category,
  p.condition,
  p.location,
  p.views_count,
  p.favorites_count,
  p.listed_at,
  p.reserved_at,
  p.reserved_for_id,
  p.sold_at,
  p.sold_to_id,
  p.sold_price,
  p.created_at,
  p.updated_at
from marketplace.products as p
where
  true
  and p.status = :status                                     --?
  and (p.created_at, p.id) < (:after_created_at, :after_id)  --?
order by p.created_at desc, p.id desc
limit :limit
