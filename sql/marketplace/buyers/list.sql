-- List buyers, newest first.
--
-- For the next page, pass the last row's ``created_at`` and ``id``.
-- returns: many Buyer
-- param limit: 1..200 = 50
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
where (b.created_at, b.id) < (:after_created_at, :after_id)  --?
order by b.created_at desc, b.id desc
limit :limit
