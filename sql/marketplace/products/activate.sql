-- Make an INACTIVE product AVAILABLE again.
--
-- No row is returned if it is not INACTIVE.
-- returns: optional Product
update marketplace.products as p
set status = 'AVAILABLE'
where
  p.id = :id
  and p.status = 'INACTIVE'
returning
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
