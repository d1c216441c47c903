-- Reserve an AVAILABLE product, for a buyer if given.
--
-- No row is returned, and nothing is changed, if it is not AVAILABLE or the buyer is blocked;
-- ``standing`` says why.
--
-- Of many concurrent calls one succeeds: the others wait for its row, read it again, and find it
-- RESERVED.
-- returns: optional Product
-- param buyer_id: = null
update marketplace.products as p
set
  status = 'RESERVED',
  reserved_for_id = :buyer_id
where
  p.id = :id
  and p.status = 'AVAILABLE'
  and not exists (
    select 1 from marketplace.buyers as b
    where
      b.id = :buyer_id
      and b.is_blocked
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
