-- Take the reminder that is due for the longest time.
-- returns: optional TakeDueRow
update reminders
set sent_at = now()
where id = (
  select next.id
  from reminders as next
  where next.sent_at is null and next.due_at <= :now
  order by next.due_at, next.id
  limit 1
  for update skip locked
)
returning id, chat_id, text
