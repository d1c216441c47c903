-- Insert a product as it is, even a sold one: for imports.
--
-- To save a product of the platform, as often as it is seen, use ``upsert_by_wallapop_id``.
-- returns: one Product
-- param description: = ''
-- param currency: = 'EUR'
-- param status: = 'AVAILABLE'
-- param category: = null
-- param condition: = null
-- param location: = null
-- param listed_at: = null
-- param sold_at: = null
-- param sold_price: = null
insert into marketplace.products as p (
  wallapop_id,
  title,
  description,
  price,
  currency,
  status,
  category,
  condition,
  location,
  listed_at,
  sold_at,
  sold_price
)
values (
  :wallapop_id,
  :title,
  :description,
  :price,
  :currency,
  :status,
  :category,
  :condition,
  :location,
  coalesce(:listed_at, now()),
  :sold_at,
  :sold_price
)
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
