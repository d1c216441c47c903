-- The user with this Telegram account.
-- returns: optional User
-- allow: unproved-one: users_telegram_id_key is unique among the rows that are not deleted
select
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
from assistant.users as u
where
  u.tenant_id = (select assistant.current_tenant())
  and u.telegram_id = :telegram_id
