-- Remove a bot session. Old ones go with cleanup.bot_sessions.
-- returns: count
delete from marketplace.bot_sessions as s
where s.id = :id
