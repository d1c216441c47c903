-- The user of this Telegram account, entered now if this is the first we hear of them. What we
-- already know stays. Who was deleted and comes back is entered anew.
--
-- Safe when any number of calls race, and exactly one row in every case. A known user, the usual
-- case, is only read. A new one is inserted. Where another call has entered the same user since
-- this statement began, its row cannot be seen in "known", and "on conflict do nothing" would
-- return nothing at all; "do update" waits for that call, locks its row and returns it.
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
