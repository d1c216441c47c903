-- Create a buyer.
--
-- A buyer whose id on the platform is known is refused (unique violation); ``create_or_update``
-- accepts it.
-- returns: one Buyer
-- param username: = null
-- param display_name: = null
-- param is_verified: = false
-- param phone: = null
-- param email: = null
-- param profile_data: = null
insert into marketplace.buyers as b (
  wallapop_user_id,
  username,
  display_name,
  is_verified,
  phone,
  email,
  profile_data
)
values (
  :wallapop_user_id,
  :username,
  :display_name,
  :is_verified,
  :phone,
  :email,
  coalesce(:profile_data, cast('{}' as jsonb))
)
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
