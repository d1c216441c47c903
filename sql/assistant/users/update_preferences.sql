-- Merge preferences into a user's: what is given replaces what is there of the same name, a name
-- given as null goes, the rest stays.
--
-- One statement: of two that change different names at once, neither undoes the other.
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
