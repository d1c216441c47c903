-- What is on sale: of a category, in a price range, in a condition if given; newest, cheapest or
-- dearest first. The next page comes after the last row's created_at and id where the order is
-- newest, after its price and id (after_price where it is cheapest, below_price where it is
-- dearest).
--
-- The last column of the order adds nothing: it keeps the list whole when the lines before it are
-- left out.
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
