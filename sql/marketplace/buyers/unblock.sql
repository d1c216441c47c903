-- Unblock a buyer: their BLOCKED conversations are ACTIVE again.
--
-- Their trust score is that of a stranger until it is recomputed. No row is returned if they are
-- not blocked.
-- returns: optional Buyer
with
resumed as (
  update marketplace.conversations as c
  set status = 'ACTIVE'
  where
    c.buyer_id = :id
    and c.status = 'BLOCKED'
  returning c.id
)

update marketplace.buyers as b
set
  is_blocked = false,
  trust_score = 0.5
where
  b.id = :id
  and b.is_blocked
  and (select count(*) from resumed) >= 0
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
