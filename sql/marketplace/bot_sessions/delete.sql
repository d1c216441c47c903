-- Remove a bot session. Old ones go with delete_idle.
-- returns: count
delete from marketplace.bot_sessions as s
where s.id = :id
