-- Take up the oldest messages that are still to be processed, for so many seconds: no other worker
-- gets them in that time. mark_processed ends it; where a worker dies, they are free again when the
-- time is over. Claims says how many times each was taken up, this time included: many times is a
-- message on which workers die.
--
-- What another worker is just claiming is skipped and not waited for.
-- returns: many Message
-- param limit: 1..200 = 20
-- param seconds: 1..86400 = 300
with
free as (
  select m.id
  from marketplace.messages as m
  where
    not m.is_processed
    and (
      m.claimed_until is null
      or m.claimed_until < now()
    )
  order by m.created_at, m.id
  limit :limit
  for no key update skip locked
),

claimed as (
  update marketplace.messages as m
  set
    claimed_until = now() + make_interval(secs => :seconds),
    claims = m.claims + 1
  from free as f
  where m.id = f.id
  returning
    m.id,
    m.wallapop_message_id,
    m.conversation_id,
    m.buyer_id,
    m.content,
    m.message_type,
    m.intent,
    m.entities,
    m.sentiment,
    m.is_read,
    m.is_processed,
    m.claimed_until,
    m.claims,
    m.created_at,
    m.updated_at
)

select cl.*
from claimed as cl
order by cl.created_at, cl.id
