-- Note a product as sold, for its price unless another is given, to the buyer named or the one it
-- is kept for, whose purchases it counts. Nothing comes back, and nothing is changed, where it is
-- SOLD or INACTIVE, or kept for another buyer than the one named; standing says why.
--
-- A sale that was agreed in a conversation is noted with conversations.complete.
-- returns: optional Product
-- param price: = null
-- param buyer_id: = null
with
sold as (
  update marketplace.products as p
  set
    status = 'SOLD',
    sold_price = coalesce(:price, p.price),
    sold_to_id = coalesce(:buyer_id, p.reserved_for_id)
  where
    p.id = :id
    and (
      p.status = 'AVAILABLE'
      or (
        p.status = 'RESERVED'
        and coalesce(p.reserved_for_id = :buyer_id, true)
      )
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
),

counted as (
  update marketplace.buyers as b
  set completed_purchases = b.completed_purchases + 1
  from sold as so
  where b.id = so.sold_to_id
)

select so.*
from sold as so
