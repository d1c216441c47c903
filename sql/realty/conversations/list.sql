-- List conversations, newest first, of one lead if given.
--
-- For the next page, pass the last row's ``created_at`` and ``id``.
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
  true
  and c.lead_id = :lead_id                                   --?
  and (c.created_at, c.id) < (:after_created_at, :after_id)  --?
order by c.created_at desc, c.id desc
limit :limit
