-- Return the user of this Telegram account; create it if there is none.
--
-- An existing user is not changed. A soft-deleted user who comes back gets a new row.
--
-- Any number of calls can race: each gets exactly one row.
--
-- Implementation: a known user, the usual case, is only read; a new one is inserted. If another
-- call has inserted the same user since this statement began, "known" cannot see its row, and "on
-- conflict do nothing" would return no row at all. "do update" waits for that call, locks its row
-- and returns it.
-- returns: one User
-- allow: unproved-one: the two arms exclude each other, see above
-- param username: = null
-- param first_name: = null
-- param last_name: = null
-- param language_code: = null
with
known as (
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
),

entered as (
  insert into assistant.users as u (telegram_id, username, first_name, last_name, language_code)
  select
    :telegram_id as telegram_id,
    :username as username,
    :first_name as first_name,
    :last_name as last_name,
    :language_code as language_code
  where not exists (select 1 from known)
  on conflict (tenant_id, telegram_id) where deleted_at is null do update
    set telegram_id = excluded.telegram_id
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
)

select k.*
from known as k
union all
select e.*
from entered as e
