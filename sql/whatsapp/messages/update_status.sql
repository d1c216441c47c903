-- Move an outbound message forward through its states: queued, sent, delivered, read, or failed.
--
-- No row is returned if the message would move back or stay, so that a late 'sent' never undoes
-- 'read'; 'failed' is accepted only before 'delivered'. Steps may be left out: a receipt does not
-- wait for the one before it. An unknown status is refused (check violation).
--
-- A failed message is due again after ``first_delay_s`` seconds, twice as many after each retry, a
-- day at most. It is not due again once ``max_attempts`` is reached: 0 gives up immediately, for a
-- message that cannot succeed. A worker that passes the ``retry_count`` of its claim changes
-- nothing if another worker has claimed the message since.
-- returns: optional Message
-- param whatsapp_msg_id: = null
-- param occurred_at: = null
-- param error_message: = null
-- param max_attempts: 0..100 = 5
-- param first_delay_s: 1..86400 = 30
update whatsapp.messages as m
set
  status = :status,
  whatsapp_msg_id = coalesce(:whatsapp_msg_id, m.whatsapp_msg_id),
  sent_at = case
    when :status = 'failed' then m.sent_at
    else coalesce(m.sent_at, :occurred_at, now())
  end,
  delivered_at = case
    when :status in ('delivered', 'read') then coalesce(m.delivered_at, :occurred_at, now())
    else m.delivered_at
  end,
  read_at = case
    when :status = 'read' then coalesce(m.read_at, :occurred_at, now())
    else m.read_at
  end,
  error_message = case
    when :status = 'failed' then :error_message
    else m.error_message
  end,
  next_attempt_at = case
    when :status = 'failed' and m.retry_count < :max_attempts
      then
        now() + make_interval(
          secs => least(:first_delay_s::integer * power(2, least(m.retry_count, 30)), 86400)
        )
  end
where
  m.tenant_id = (select whatsapp.current_tenant())
  and m.id = :id
  and m.direction = 'outbound'
  and case :status
    when 'queued' then false
    when 'sent' then m.status = 'queued'
    when 'delivered' then m.status in ('queued', 'sent')
    when 'read' then m.status in ('queued', 'sent', 'delivered')
    when 'failed' then m.status in ('queued', 'sent')
    else true
  end
  and m.retry_count = :retry_count  --?
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
