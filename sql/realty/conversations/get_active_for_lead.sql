-- The conversation this lead is in: the one whose last message is the latest, and not older than a
-- time if given.
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
