-- Delete a bot session.
--
-- Old sessions are deleted by ``cleanup.bot_sessions``.
-- returns: count
delete from marketplace.bot_sessions as s
where s.id = :id
