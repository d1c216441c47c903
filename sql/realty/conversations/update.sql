-- Change the given columns of a conversation, and leave the others.
-- returns: optional Conversation
update realty.conversations as c
set
  lead_id = :lead_id,                                --?
  most_recent_project_id = :most_recent_project_id,  --?
  last_message_at = :last_message_at,                --?
  is_answered_by_lead = :is_answered_by_lead,        --?
  updated_at = now()
where c.id = :id
returning
  c.id,
  c.lead_id,
  c.most_recent_project_id,
  c.last_message_at,
  c.is_answered_by_lead,
  c.created_at,
  c.updated_at
