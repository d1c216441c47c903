-- Insert a message without changing its conversation's last_message_at: for imports.
--
-- To continue a conversation, use ``append``.
-- returns: one Message
insert into realty.messages as m (
  conversation_id,
  type,
  content
)
values (
  :conversation_id,
  :type,
  :content
)
returning
  m.id,
  m.conversation_id,
  m.type,
  m.content,
  m.created_at
