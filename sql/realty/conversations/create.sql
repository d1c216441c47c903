-- Start a conversation with a lead, about a project if given.
--
-- The time of its last message is now, until a message is appended.
-- returns: one Conversation
-- param most_recent_project_id: = null
insert into realty.conversations as c (
  lead_id,
  most_recent_project_id
)
values (
  :lead_id,
  :most_recent_project_id
)
returning
  c.id,
  c.lead_id,
  c.most_recent_project_id,
  c.last_message_at,
  c.is_answered_by_lead,
  c.created_at,
  c.updated_at
