-- Apply a status webhook to the message that it names by its id at WhatsApp; otherwise as
-- ``update_status``.
--
-- No row is returned either if the sender has not saved that id yet: call ``mark_failed`` for the
-- event, and it is due again later.
-- returns: optional Message
-- param occurred_at: = null
-- param error_message: = null
-- param max_attempts: 0..100 = 5
-- param first_delay_s: 1..86400 = 30
update whatsapp.messages as m
set
  status = :status,
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
  and m.whatsapp_msg_id = :whatsapp_msg_id
  and m.direction = 'outbound'
  and case :status
    when 'queued' then false
    when 'sent' then m.status = 'queued'
    when 'delivered' then m.status in ('queued', 'sent')
    when 'read' then m.status in ('queued', 'sent', 'delivered')
    when 'failed' then m.status in ('queued', 'sent')
    else true
  end
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
