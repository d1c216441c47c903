-- Change the given columns of a note, and leave the others.
-- returns: optional Note
update assistant.notes as n
set
  title = :title,                          --?
  content = :content,                      --?
  category = :category,                    --?
  tags = :tags,                            --?
  priority = :priority,                    --?
  is_pinned = :is_pinned,                  --?
  reminder_datetime = :reminder_datetime,  --?
  language_code = :language_code,          --?
  extra_data = :extra_data,                --?
  updated_at = now()
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
