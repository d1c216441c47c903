-- Insert a message without changing its conversation's last activity: for imports.
--
-- To continue a conversation, use ``add_message``.
-- returns: one Message
-- param message_id: = null
-- param user_message: = null
-- param bot_response: = null
-- param intent_detected: = null
-- param entities_extracted: = null
-- param confidence_score: = null
-- param processing_time_ms: = null
insert into assistant.message_history as m (
  conversation_id,
  message_id,
  user_message,
  bot_response,
  intent_detected,
  entities_extracted,
  confidence_score,
  processing_time_ms
)
values (
  :conversation_id,
  :message_id,
  :user_message,
  :bot_response,
  :intent_detected,
  coalesce(cast(:entities_extracted as jsonb), '{}'),
  :confidence_score,
  :processing_time_ms
)
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
