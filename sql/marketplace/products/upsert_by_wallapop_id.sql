-- Insert a product as the platform shows it, or update the known one.
--
-- Columns that are not given stay as they are. So does the status, which ``reserve``, ``release``,
-- ``sell``, ``deactivate`` and ``activate`` change.
--
-- Calls can race: the second one updates the row that the first one inserted.
-- returns: one Product
-- param description: = null
-- param currency: = null
-- param category: = null
-- param condition: = null
-- param location: = null
-- param views_count: = null
-- param favorites_count: = null
-- param listed_at: = null
insert into marketplace.products as p (
  wallapop_id,
  title,
  description,
  price,
  currency,
  category,
  condition,
  location,
  views_count,
  favorites_count,
  listed_at
)
values (
  :wallapop_id,
  :title,
  coalesce(:description, ''),
  :price,
  coalesce(:currency, 'EUR'),
  :category,
  :condition,
  :location,
  coalesce(:views_count, 0),
  coalesce(:favorites_count, 0),
  coalesce(:listed_at, now())
)
on conflict (wallapop_id) do update
  set
    title = excluded.title,
    description = coalesce(:description, p.description),
    price = excluded.price,
    currency = coalesce(:currency, p.currency),
    category = coalesce(excluded.category, p.category),
    condition = coalesce(excluded.condition, p.condition),
    location = coalesce(excluded.location, p.location),
    views_count = coalesce(:views_count, p.views_count),
    favorites_count = coalesce(:favorites_count, p.favorites_count),
    listed_at = coalesce(:listed_at, p.listed_at)
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
