-- Count the messages.
--
-- Filters, each if given: a start time, a conversation, a detected intent and a minimum confidence.
-- returns: value
select count(*) as total
from assistant.message_history as m
where
  m.tenant_id = (select assistant.current_tenant())
  and m.conversation_id = :conversation_id   --?
  and m.intent_detected = :intent            --?
  and m.confidence_score >= :min_confidence  --?
  and m.created_at >= :since                 --?
