-- Change the given columns of a buyer, and leave the others.
--
-- To block or unblock a buyer, use ``block`` and ``unblock``.
-- returns: optional Buyer
update marketplace.buyers as b
set
  username = :username,          --?
  display_name = :display_name,  --?
  is_verified = :is_verified,    --?
  trust_score = :trust_score,    --?
  phone = :phone,                --?
  email = :email,                --?
  profile_data = :profile_data,  --?
  updated_at = b.updated_at
where b.id = :id
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
