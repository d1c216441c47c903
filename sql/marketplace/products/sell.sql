-- Mark a product as SOLD, and count the purchase for its buyer.
--
-- The price is the product's unless another is given. The buyer is the given one, or else the one
-- it is reserved for. No row is returned, and nothing is changed, if it is SOLD, INACTIVE, or
-- reserved for another buyer than the given one; ``standing`` says why.
--
-- To record a sale that was agreed in a conversation, use ``conversations.complete``.
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
