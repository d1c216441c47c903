-- Add a message to a conversation, and update the conversation's message count and last message
-- time.
--
-- A message that the platform delivers again (with the same ``wallapop_message_id``) is returned as
-- it is known, and not counted. A message of type ``USER_MESSAGE`` is assigned to the
-- conversation's buyer if none is given; only such messages have to be read and processed.
--
-- Implementation: it is one statement, so that no reader sees one change without the other.
-- Concurrent messages are all counted, and the latest time stays: the conversation is locked and
-- read again for each. xmax is 0 in a row that was inserted, and not in one that existed.
-- returns: one Message
-- param message_type: = 'USER_MESSAGE'
-- param wallapop_message_id: = null
-- param buyer_id: = null
-- param intent: = null
-- param entities: = null
-- param sentiment: = null
with
appended as (
  insert into marketplace.messages as m (
    wallapop_message_id,
    conversation_id,
    buyer_id,
    content,
    message_type,
    intent,
    entities,
    sentiment,
    is_read,
    is_processed
  )
  values (
    :wallapop_message_id,
    :conversation_id,
    case
      when cast(:message_type as marketplace.message_type) = 'USER_MESSAGE'
        then coalesce(
          :buyer_id,
          (
            select c.buyer_id
            from marketplace.conversations as c
            where c.id = :conversation_id
          )
        )
    end,
    :content,
    :message_type,
    :intent,
    :entities,
    :sentiment,
    :message_type <> 'USER_MESSAGE',
    :message_type <> 'USER_MESSAGE'
  )
  on conflict (wallapop_message_id) do update
    set wallapop_message_id = excluded.wallapop_message_id
  returning
    m.id,
    m.wallapop_message_id,
    m.conversation_id,
    m.buyer_id,
    m.content,
    m.message_type,
    m.intent,
    m.entities,
    m.sentiment,
    m.is_read,
    m.is_processed,
    m.claimed_until,
    m.claims,
    m.created_at,
    m.updated_at,
    m.xmax = 0 as is_new
),

counted as (
  update marketplace.conversations as c
  set
    message_count = c.message_count + 1,
    last_message_at = greatest(c.last_message_at, ap.created_at)
  from appended as ap
  where
    c.id = ap.conversation_id
    and ap.is_new
)

select
  ap.id,
  ap.wallapop_message_id,
  ap.conversation_id,
  ap.buyer_id,
  ap.content,
  ap.message_type,
  ap.intent,
  ap.entities,
  ap.sentiment,
  ap.is_read,
  ap.is_processed,
  ap.claimed_until,
  ap.claims,
  ap.created_at,
  ap.updated_at
from appended as ap
