-- Delete a message; its conversation's last_message_at stays.
-- returns: count
delete from realty.messages as m
where m.id = :id
