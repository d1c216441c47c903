-- The product with this id on the platform.
-- returns: optional Product
-- cache: 5m
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
where p.wallapop_id = :wallapop_id
