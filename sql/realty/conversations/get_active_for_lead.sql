-- The current conversation of a lead: the one with the latest message.
--
-- If a time is given, the message must not be older.
-- returns: optional Conversation
select
  c.id,
  c.lead_id,
  c.most_recent_project_id,
  c.last_message_at,
  c.is_answered_by_lead,
  c.created_at,
  c.updated_at
from realty.conversations as c
where
  c.lead_id = :lead_id
  and c.last_message_at >= :since  --?
order by c.last_message_at desc, c.id desc
limit 1
