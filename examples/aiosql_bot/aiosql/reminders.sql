-- name: add-reminder<!
-- Remember a text for a chat.
insert into reminders (chat_id, text, due_at)
values (:chat_id, :text, :due_at)
returning id;

-- name: get-reminders
-- The open reminders of a chat, the next one first.
select id, text, due_at
from reminders
where chat_id = :chat_id and sent_at is null
order by due_at, id;

-- name: take-due^
-- Take the reminder that is due for the longest time.
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
returning id, chat_id, text;

-- name: forget-reminder!
-- Delete a reminder of a chat.
delete from reminders where chat_id = :chat_id and id = :id;

-- name: count-open$
-- Count the open reminders.
select count(*) from reminders where sent_at is null;
