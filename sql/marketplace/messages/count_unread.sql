-- Count the unread messages of a conversation.
-- returns: value
select count(*) as total
from marketplace.messages as m
where
  m.conversation_id = :conversation_id
  and not m.is_read
