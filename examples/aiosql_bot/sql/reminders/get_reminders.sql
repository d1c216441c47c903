-- The open reminders of a chat, the next one first.
-- returns: many GetRemindersRow
select id, text, due_at
from reminders
where chat_id = :chat_id and sent_at is null
order by due_at, id
