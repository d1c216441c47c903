-- Change the given columns of a message, and leave the others.
-- returns: optional Message
update assistant.message_history as m
set
  message_id = :message_id,                  --?
  user_message = :user_message,              --?
  bot_response = :bot_response,              --?
  intent_detected = :intent_detected,        --?
  entities_extracted = :entities_extracted,  --?
  confidence_score = :confidence_score,      --?
  processing_time_ms = :processing_time_ms,  --?
  updated_at = now()
where
  m.tenant_id = (select assistant.current_tenant())
  and m.id = :id
returning
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
