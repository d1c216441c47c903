-- List messages, newest first.
--
-- Filters, each if given: a conversation, a detected intent and a minimum confidence.
-- For the next page, pass the last row's ``created_at`` and ``id``.
-- returns: many Message
-- param limit: 1..200 = 50
select
  m.id,
  m.tenant_id,
  m.conversation_id,
  m.message_id,
  m.user_message,
  m.bot_response,
  m.intent_detected,
  m.entities_extracted,
  m.confidence_score,
  m.processing_time_ms,
  m.created_at,
  m.created_by,
  m.updated_at,
  m.updated_by
from assistant.message_history as m
where
  m.tenant_id = (select assistant.current_tenant())
  and m.conversation_id = :conversation_id                   --?
  and m.intent_detected = :intent                            --?
  and m.confidence_score >= :min_confidence                  --?
  and (m.created_at, m.id) < (:after_created_at, :after_id)  --?
order by m.created_at desc, m.id desc
limit :limit
