-- List the AVAILABLE products, newest, cheapest or most expensive first.
--
-- Filters, each if given: a category, a price range and a condition. For the next page, pass the
-- last row's ``created_at`` and ``id`` if the order is ``newest``, its ``price`` and ``id``
-- otherwise (the price as ``after_price`` if the order is ``cheapest``, as ``below_price`` if it is
-- ``dearest``).
--
-- Implementation: the last column of the order adds nothing: it keeps the list valid when the
-- optional lines before it are left out.
-- returns: many Product
-- param limit: 1..200 = 50
-- param order: = 'newest'
-- cache: 1m
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
  p.status = 'AVAILABLE'
  and p.category = :category                                 --?
  and p.condition = :condition                               --?
  and p.price >= :min_price                                  --?
  and p.price <= :max_price                                  --?
  and (p.created_at, p.id) < (:after_created_at, :after_id)  --?
  and (p.price, p.id) > (:after_price, :after_id)            --?
  and (p.price, p.id) < (:below_price, :after_id)            --?
order by
  p.created_at desc, p.id desc,  --? order=newest
  p.price asc, p.id asc,         --? order=cheapest
  p.price desc, p.id desc,       --? order=dearest
  p.id asc
limit :limit
