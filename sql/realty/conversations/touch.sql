-- Set the time of a conversation's last message to now, and its project if given.
--
-- Use it for what was said elsewhere: ``messages.append`` does this by itself.
-- returns: optional Conversation
update realty.conversations as c
set
  most_recent_project_id = :most_recent_project_id,  --?
  is_answered_by_lead = :is_answered_by_lead,        --?
  last_message_at = greatest(c.last_message_at, now())
where c.id = :id
returning
  c.id,
  c.lead_id,
  c.most_recent_project_id,
  c.last_message_at,
  c.is_answered_by_lead,
  c.created_at,
  c.updated_at
