-- Block a buyer: their ACTIVE conversations become BLOCKED, and their reserved products AVAILABLE.
--
-- No row is returned if there is no such buyer.
--
-- Implementation: it is one statement. The counts tie its parts together, so that rows are locked
-- in the same order as by ``conversations.complete``, which may run at the same time:
-- conversations, products, the buyer.
-- returns: optional Buyer
with
ended as (
  update marketplace.conversations as c
  set status = 'BLOCKED'
  where
    c.buyer_id = :id
    and c.status = 'ACTIVE'
  returning c.id
),

freed as (
  update marketplace.products as p
  set status = 'AVAILABLE'
  where
    p.reserved_for_id = :id
    and p.status = 'RESERVED'
    and (select count(*) from ended) >= 0
  returning p.id
)

update marketplace.buyers as b
set
  is_blocked = true,
  trust_score = 0
where
  b.id = :id
  and (select count(*) from freed) >= 0
returning
  b.id,
  b.wallapop_user_id,
  b.username,
  b.display_name,
  b.is_verified,
  b.is_blocked,
  b.trust_score,
  b.phone,
  b.email,
  b.total_conversations,
  b.completed_purchases,
  b.profile_data,
  b.created_at,
  b.updated_at
