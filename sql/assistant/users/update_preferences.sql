-- Merge the given preferences into a user's preferences.
--
-- A given value replaces the one of the same name, a null removes it, and the other names stay.
--
-- Implementation: it is one statement: of two concurrent calls that change different names, neither
-- undoes the other.
-- returns: optional User
update assistant.users as u
set
  preferences = (u.preferences || cast(:preferences as jsonb)) - array(
    select p.key
    from jsonb_each(cast(:preferences as jsonb)) as p
    where p.value = 'null'
  )
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
