-- Claim the oldest unprocessed messages for so many seconds: no other worker gets them in that
-- time.
--
-- ``mark_processed`` ends the claim; if the worker dies, the messages are free again when the time
-- is over. ``claims`` counts the claims of each message, this one included: a high number means a
-- message on which workers die.
--
-- Rows that another worker is claiming at the moment are skipped, not waited for.
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
