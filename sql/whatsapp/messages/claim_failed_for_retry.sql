-- Claim the messages to send again, oldest first: those that failed, and those whose sender did not
-- report in time.
--
-- They are queued again, and belong to the worker that claimed them until ``next_attempt_at``,
-- whose delay grows exponentially. The id at WhatsApp is removed with the attempt it was for, so
-- that a late receipt of that attempt is not taken for one of this attempt.
--
-- Any number of workers can run it: rows that another worker is claiming are skipped, not waited
-- for.
--
-- Implementation: the ids go into an array, so that rows are found by primary key whatever the
-- planner assumes of a limit that it does not know.
-- returns: many Message
-- param limit: 1..500 = 50
-- param max_attempts: 0..100 = 5
-- param first_delay_s: 1..86400 = 30
with
due as (
  select m.id
  from whatsapp.messages as m
  where
    m.tenant_id = (select whatsapp.current_tenant())
    and m.next_attempt_at <= statement_timestamp()
    and m.retry_count < :max_attempts
  order by m.next_attempt_at, m.id
  limit :limit
  for update skip locked
),

claimed as (
  update whatsapp.messages as m
  set
    status = 'queued',
    whatsapp_msg_id = null,
    retry_count = m.retry_count + 1,
    next_attempt_at = statement_timestamp() + make_interval(
      secs => least(:first_delay_s::integer * power(2, least(m.retry_count + 1, 30)), 86400)
    )
  where
    m.tenant_id = (select whatsapp.current_tenant())
    and m.id = any(array(select d.id from due as d))
  returning
    m.id,
    m.tenant_id,
    m.channel_id,
    m.contact_id,
    m.whatsapp_msg_id,
    m.phone_number,
    m.message_type,
    m.content,
    m.status,
    m.direction,
    m.media_id,
    m.idempotency_key,
    m.retry_count,
    m.next_attempt_at,
    m.error_message,
    m.sent_at,
    m.delivered_at,
    m.read_at,
    m.created_at,
    m.updated_at
)

select c.*
from claimed as c
order by c.created_at, c.id
