-- The buyer with this id on the platform.
-- returns: optional Buyer
select
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
from marketplace.buyers as b
where b.wallapop_user_id = :wallapop_user_id
