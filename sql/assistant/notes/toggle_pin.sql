-- Pin a note, or unpin it if it is pinned.
-- returns: optional Note
update assistant.notes as n
set is_pinned = not n.is_pinned
where
  n.tenant_id = (select assistant.current_tenant())
  and n.id = :id
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
