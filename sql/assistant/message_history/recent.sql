-- List the last messages of a conversation, oldest first, as context for a model.
-- returns: many Message
-- param limit: 1..200 = 10
with
newest as (
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
    and m.conversation_id = :conversation_id
  order by m.created_at desc, m.id desc
  limit :limit
)

select n.*
from newest as n
order by n.created_at, n.id
