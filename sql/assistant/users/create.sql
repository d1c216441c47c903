-- Create a user.
--
-- A Telegram account belongs to one user only: a second user is refused (unique violation).
-- returns: one User
-- param telegram_id: = null
-- param username: = null
-- param first_name: = null
-- param last_name: = null
-- param language_code: = null
-- param timezone: = 'UTC'
-- param is_active: = true
-- param preferences: = null
insert into assistant.users as u (
  telegram_id,
  username,
  first_name,
  last_name,
  language_code,
  timezone,
  is_active,
  preferences
)
values (
  :telegram_id,
  :username,
  :first_name,
  :last_name,
  :language_code,
  :timezone,
  :is_active,
  coalesce(cast(:preferences as jsonb), '{}')
)
returning
  u.id,
  u.tenant_id,
  u.telegram_id,
  u.username,
  u.first_name,
  u.last_name,
  u.language_code,
  u.timezone,
  u.is_active,
  u.preferences,
  u.created_at,
  u.created_by,
  u.updated_at,
  u.updated_by
