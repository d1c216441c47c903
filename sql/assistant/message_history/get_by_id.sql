-- The message with this id.
-- returns: optional Message
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
  and m.id = :id
