-- Write a note.
--
-- Its language is its user's unless one is given. A user that does not exist or is deleted is
-- refused (foreign key violation).
-- returns: one Note
-- param title: = null
-- param category: = null
-- param tags: = null
-- param priority: = 0
-- param is_pinned: = false
-- param reminder_datetime: = null
-- param language_code: = null
-- param extra_data: = null
insert into assistant.notes as n (
  user_id,
  title,
  content,
  category,
  tags,
  priority,
  is_pinned,
  reminder_datetime,
  language_code,
  extra_data
)
values (
  :user_id,
  :title,
  :content,
  :category,
  coalesce(cast(:tags as text[]), '{}'),
  :priority,
  :is_pinned,
  :reminder_datetime,
  :language_code,
  coalesce(cast(:extra_data as jsonb), '{}')
)
returning
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
