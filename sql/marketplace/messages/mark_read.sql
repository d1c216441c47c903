-- Mark a conversation's messages as read, up to a time if given; return the number that were
-- unread.
-- returns: count
update marketplace.messages as m
set is_read = true
where
  m.conversation_id = :conversation_id
  and not m.is_read
  and m.created_at <= :until  --?
