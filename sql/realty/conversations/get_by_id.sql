-- The conversation with this id.
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
where c.id = :id
