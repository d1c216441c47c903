-- Note that an event could not be worked off, and why. It is due again after first_delay_s seconds,
-- twice as many after each time and a day at the most; never where max_attempts is reached. Nothing
-- comes back where it is worked off.
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
