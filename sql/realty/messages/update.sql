-- Change the given columns of a message, and leave the others.
--
-- Implementation: the last assignment changes nothing: it keeps the list valid when the optional
-- lines before it are left out.
-- returns: optional Message
update realty.messages as m
set
  type = :type,        --?
  content = :content,  --?
  created_at = m.created_at
where m.id = :id
returning
  m.id,
  m.conversation_id,
  m.type,
  m.content,
  m.created_at
