-- List the conversations to follow up: the lead has not answered, and there was no message since a
-- time.
--
-- The longest waiting come first. For the next page, pass the last row's ``last_message_at`` and
-- ``id``.
-- returns: many Conversation
-- param limit: 1..200 = 50
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
  not c.is_answered_by_lead
  and c.last_message_at < :since
  and (c.last_message_at, c.id) > (:after_last_message_at, :after_id)  --?
order by c.last_message_at, c.id
limit :limit
