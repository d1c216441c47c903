-- Complete a deal: the conversation is COMPLETED, its product SOLD to its buyer, the purchase
-- counted.
--
-- The price is the given one, or else the negotiated one, or else the product's. No row is
-- returned, and nothing is changed, if the conversation is not ACTIVE, or if its product is SOLD,
-- INACTIVE or reserved for another buyer; ``products.standing`` says why.
--
-- Implementation: it is one statement, so that no reader sees one part without the others. The
-- conversation is locked first, then the product. Of two concurrent calls for one product, the
-- second waits, reads the product again, finds it SOLD and changes nothing.
-- returns: optional Conversation
-- param negotiated_price: = null
with
talk as (
  select
    c.id,
    c.product_id,
    c.buyer_id,
    coalesce(:negotiated_price, c.negotiated_price) as agreed
  from marketplace.conversations as c
  where
    c.id = :id
    and c.status = 'ACTIVE'
  for no key update
),

sold as (
  update marketplace.products as p
  set
    status = 'SOLD',
    sold_price = coalesce(t.agreed, p.price),
    sold_to_id = t.buyer_id
  from talk as t
  where
    p.id = t.product_id
    and (
      p.status = 'AVAILABLE'
      or (
        p.status = 'RESERVED'
        and coalesce(p.reserved_for_id = t.buyer_id, true)
      )
    )
  returning
    p.id,
    p.sold_price
),

completed as (
  update marketplace.conversations as c
  set
    status = 'COMPLETED',
    negotiated_price = s.sold_price
  from talk as t
  inner join sold as s on t.product_id = s.id
  where c.id = t.id
  returning
    -- begin fragment conversation_columns
    c.id,
    c.wallapop_chat_id,
    c.product_id,
    c.buyer_id,
    c.status,
    c.message_count,
    c.last_message_at,
    c.negotiated_price,
    c.meeting_location,
    c.meeting_time,
    c.intent_detected,
    c.sentiment_score,
    c.completed_at,
    c.created_at,
    c.updated_at
    -- end fragment conversation_columns
),

counted as (
  update marketplace.buyers as b
  set completed_purchases = b.completed_purchases + 1
  from completed as d
  where b.id = d.buyer_id
)

select d.*
from completed as d
