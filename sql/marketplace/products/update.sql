-- Change the given columns of a product, and leave the others.
--
-- ``reserve``, ``release``, ``sell``, ``deactivate`` and ``activate`` change its status;
-- ``bump_views`` and ``upsert_by_wallapop_id`` change its counts.
-- returns: optional Product
update marketplace.products as p
set
  title = :title,              --?
  description = :description,  --?
  price = :price,              --?
  currency = :currency,        --?
  category = :category,        --?
  condition = :condition,      --?
  location = :location,        --?
  listed_at = :listed_at,      --?
  updated_at = p.updated_at
where p.id = :id
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
