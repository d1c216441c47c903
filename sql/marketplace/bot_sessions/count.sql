-- Count the bot sessions, since a time if given.
-- returns: value
select count(*) as total
from marketplace.bot_sessions as s
where s.created_at >= :since  --?
