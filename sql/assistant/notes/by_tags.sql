-- List the notes with all of the given tags, newest first, of one user if given.
--
-- If ``match_all`` is false, one of the tags is enough. For the next page, pass the last row's
-- ``created_at`` and ``id``.
--
-- Implementation: the function looks the tags up in an index, which a query under row-level
-- security cannot use: see the migration 0008_search.
-- returns: many Note
-- param user_id: = null
-- param match_all: = true
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
  and n.id in (
    select f.id
    from assistant.notes_with_tags(
      :user_id,
      case when not :match_all then cast(:tags as text[]) end,
      case when :match_all then cast(:tags as text[]) end
    ) as f
  )
  and (n.created_at, n.id) < (:after_created_at, :after_id)  --?
order by n.created_at desc, n.id desc
limit :limit
