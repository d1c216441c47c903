-- Return the conversation of this session; start one if there is none.
--
-- An existing conversation stays as it is, closed or not.
--
-- Any number of calls can race: each gets exactly one row.
--
-- Implementation: see users/get_or_create_from_telegram.sql.
-- returns: one Conversation
-- allow: unproved-one: the two arms exclude each other
with
known as (
  select
    c.id,
    c.tenant_id,
    c.user_id,
    c.session_id,
    c.current_state,
    c.context_data,
    c.last_message_id,
    c.is_active,
    c.started_at,
    c.last_activity,
    c.created_at,
    c.created_by,
    c.updated_at,
    c.updated_by
  from assistant.conversations as c
  where
    c.tenant_id = (select assistant.current_tenant())
    and c.session_id = :session_id
),

begun as (
  insert into assistant.conversations as c (user_id, session_id)
  select
    :user_id as user_id,
    :session_id as session_id
  where not exists (select 1 from known)
  on conflict (tenant_id, session_id) where deleted_at is null do update
    set session_id = excluded.session_id
  returning
    c.id,
    c.tenant_id,
    c.user_id,
    c.session_id,
    c.current_state,
    c.context_data,
    c.last_message_id,
    c.is_active,
    c.started_at,
    c.last_activity,
    c.created_at,
    c.created_by,
    c.updated_at,
    c.updated_by
)

select k.*
from known as k
union all
select b.*
from begun as b
