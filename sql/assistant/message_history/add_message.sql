-- Add a message and its answer to a conversation, and set the conversation's last activity.
--
-- A conversation that does not exist or is deleted is refused (foreign key violation). A closed
-- conversation stays closed.
--
-- Implementation: it is one statement, so that no reader sees one change without the other.
-- returns: one Message
-- param message_id: = null
-- param user_message: = null
-- param bot_response: = null
-- param intent_detected: = null
-- param entities_extracted: = null
-- param confidence_score: = null
-- param processing_time_ms: = null
with
-- Take the lock that "moved" needs first: two calls with only the weaker lock of the insert, and a
-- deletion between them, would deadlock.
talk as (
  select c.id
  from assistant.conversations as c
  where
    c.tenant_id = (select assistant.current_tenant())
    and c.id = :conversation_id
  for no key update
),

said as (
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
  select
    :conversation_id as conversation_id,
    :message_id as message_id,
    :user_message as user_message,
    :bot_response as bot_response,
    :intent_detected as intent_detected,
    coalesce(cast(:entities_extracted as jsonb), '{}') as entities_extracted,
    :confidence_score as confidence_score,
    :processing_time_ms as processing_time_ms
  from (select 1 as one) as always -- noqa: ST11
  -- Joined for its lock only.
  left join talk on true -- noqa: ST11
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
),

moved as (
  update assistant.conversations as c
  set
    last_activity = greatest(c.last_activity, s.created_at),
    last_message_id = coalesce(s.message_id, c.last_message_id)
  from said as s
  where
    c.tenant_id = (select assistant.current_tenant())
    and c.id = s.conversation_id
)

select s.*
from said as s
