-- Remember a text for a chat.
-- returns: value
insert into reminders (chat_id, text, due_at)
values (:chat_id, :text, :due_at)
returning id
