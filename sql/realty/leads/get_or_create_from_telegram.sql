-- Return the lead of this Telegram chat; create it if there is none.
--
-- A name that is already known is kept.
--
-- Calls can race: each gets exactly one row.
--
-- Implementation: a known lead, the usual case, is only read: no dead row, no lock, and updated_at
-- stays. A new one is inserted. If another call has inserted the same lead since this statement
-- began, "known" cannot see its row, and "on conflict do nothing" would return no row at all. "do
-- update" waits for that call, locks its row and returns it.
-- returns: one Lead
-- allow: unproved-one: the two arms exclude each other, see above
-- param name: = null
with
known as (
  select
    l.id,
    l.name,
    l.email,
    l.phone,
    l.telegram_chat_id,
    l.created_at,
    l.updated_at
  from realty.leads as l
  where l.telegram_chat_id = :telegram_chat_id
),

entered as (
  insert into realty.leads as l (name, telegram_chat_id)
  select
    :name as name,
    :telegram_chat_id as telegram_chat_id
  where not exists (select 1 from known)
  on conflict (telegram_chat_id) do update
    set telegram_chat_id = excluded.telegram_chat_id
  returning
    l.id,
    l.name,
    l.email,
    l.phone,
    l.telegram_chat_id,
    l.created_at,
    l.updated_at
)

select k.*
from known as k
union all
select e.*
from entered as e
