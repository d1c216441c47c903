-- List notes, newest first.
--
-- Filters, each if given: a user, a category, and only pinned notes.
-- For the next page, pass the last row's ``created_at`` and ``id``.
-- returns: many Note
-- param limit: 1..200 = 50
select
  n.id,
  n.tenant_id,
  n.user_id,
  n.title,
  n.content,
  n.category,
  n.tags,
  n.priority,
  n.is_pinned,
  n.reminder_datetime,
  n.language_code,
  n.extra_data,
  n.reminded_at,
  n.created_at,
  n.created_by,
  n.updated_at,
  n.updated_by
from assistant.notes as n
where
  n.tenant_id = (select assistant.current_tenant())
  and n.user_id = :user_id                                   --?
  and n.category = :category                                 --?
  and n.is_pinned                                            --? only_pinned
  and (n.created_at, n.id) < (:after_created_at, :after_id)  --?
order by n.created_at desc, n.id desc
limit :limit
