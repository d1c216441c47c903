-- Create the buyer with this id on the platform, or update it with the given values.
--
-- Profile data is merged, key by key.
--
-- Calls can race: the second one updates the row that the first one inserted.
-- returns: one Buyer
-- param username: = null
-- param display_name: = null
-- param is_verified: = null
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
  coalesce(:is_verified, false),
  :phone,
  :email,
  coalesce(:profile_data, cast('{}' as jsonb))
)
on conflict (wallapop_user_id) do update
  set
    username = coalesce(excluded.username, b.username),
    display_name = coalesce(excluded.display_name, b.display_name),
    is_verified = coalesce(:is_verified, b.is_verified),
    phone = coalesce(excluded.phone, b.phone),
    email = coalesce(excluded.email, b.email),
    profile_data = b.profile_data || excluded.profile_data
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
