-- Count the notes.
--
-- Filters, each if given: a start time, a user, a category, and only pinned notes.
-- returns: value
select count(*) as total
from assistant.notes as n
where
  n.tenant_id = (select assistant.current_tenant())
  and n.user_id = :user_id    --?
  and n.category = :category  --?
  and n.is_pinned             --? only_pinned
  and n.created_at >= :since  --?
