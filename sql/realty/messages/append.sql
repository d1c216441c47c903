-- Add a message to a conversation, and set the conversation's last message time and sender.
--
-- Implementation: it is one statement, so that no reader sees one change without the other. Of two
-- concurrent messages the conversation keeps the later: the row is locked and read again before the
-- comparison.
-- returns: one Message
with
appended as (
  insert into realty.messages as m (conversation_id, type, content)
  values (:conversation_id, :type, :content)
  returning
    m.id,
    m.conversation_id,
    m.type,
    m.content,
    m.created_at
),

moved as (
  update realty.conversations as c
  set
    last_message_at = ap.created_at,
    is_answered_by_lead = (ap.type = 'human')
  from appended as ap
  where
    c.id = ap.conversation_id
    and c.last_message_at <= ap.created_at
)

select ap.*
from appended as ap
