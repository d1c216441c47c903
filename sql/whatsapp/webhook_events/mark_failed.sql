-- Mark a webhook event as failed, with the error.
--
-- It is due again after ``first_delay_s`` seconds, twice as many after each failure, a day at most.
-- It is not due again once ``max_attempts`` is reached. No row is returned if it is already
-- processed.
-- returns: optional WebhookEvent
-- param max_attempts: 0..100 = 5
-- param first_delay_s: 1..86400 = 30
update whatsapp.webhook_events as w
set
  error_message = :error_message,
  retry_count = w.retry_count + 1,
  next_attempt_at = case
    when w.retry_count + 1 < :max_attempts
      then
        now() + make_interval(
          secs => least(:first_delay_s::integer * power(2, least(w.retry_count, 30)), 86400)
        )
  end
where
  w.tenant_id = (select whatsapp.current_tenant())
  and w.id = :id
  and not w.processed
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
