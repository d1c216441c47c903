-- Note that a conversation's messages were read, up to a time if given; how many were not before.
-- returns: count
update marketplace.messages as m
set is_read = true
where
  m.conversation_id = :conversation_id
  and not m.is_read
  and m.created_at <= :until  --?
