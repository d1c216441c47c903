-- Begin a conversation with a lead, perhaps about a project. Its last message is now, until one is
-- appended.
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
