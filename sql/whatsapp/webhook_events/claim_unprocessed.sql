-- Claim webhook events to process, oldest first.
--
-- They belong to the worker that claimed them for ``lease_s`` seconds. After that, or after
-- ``mark_failed``, they are due again.
--
-- Any number of workers can run it: rows that another worker is claiming are skipped, not waited
-- for.
--
-- Implementation: the ids go into an array, so that rows are found by primary key whatever the
-- planner assumes of a limit that it does not know.
-- returns: many WebhookEvent
-- param limit: 1..500 = 50
-- param lease_s: 1..86400 = 300
with
due as (
  select w.id
  from whatsapp.webhook_events as w
  where
    w.tenant_id = (select whatsapp.current_tenant())
    and w.next_attempt_at <= statement_timestamp()
  order by w.next_attempt_at, w.id
  limit :limit
  for update skip locked
),

claimed as (
  update whatsapp.webhook_events as w
  set next_attempt_at = statement_timestamp() + make_interval(secs => :lease_s::integer)
  where
    w.tenant_id = (select whatsapp.current_tenant())
    and w.id = any(array(select d.id from due as d))
  returning
    w.id,
    w.tenant_id,
    w.event_type,
    w.payload,
    w.processed,
    w.error_message,
    w.retry_count,
    w.next_attempt_at,
    w.processed_at,
    w.created_at,
    w.updated_at
)

select c.*
from claimed as c
order by c.created_at, c.id
