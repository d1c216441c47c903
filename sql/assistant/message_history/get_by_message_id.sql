-- The message that the channel knows by this id, of one conversation if given.
--
-- Channels may use an id again, in another chat for example. The newest message is returned then.
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
  and m.message_id = :message_id
  and m.conversation_id = :conversation_id  --?
order by m.created_at desc, m.id desc
limit 1
