-- Change the given columns of a user, and leave the others.
-- returns: optional User
update assistant.users as u
set
  telegram_id = :telegram_id,      --?
  username = :username,            --?
  first_name = :first_name,        --?
  last_name = :last_name,          --?
  language_code = :language_code,  --?
  timezone = :timezone,            --?
  is_active = :is_active,          --?
  preferences = :preferences,      --?
  updated_at = now()
where
  u.tenant_id = (select assistant.current_tenant())
  and u.id = :id
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
