-- Delete a reminder of a chat.
-- returns: count
delete from reminders where chat_id = :chat_id and id = :id
