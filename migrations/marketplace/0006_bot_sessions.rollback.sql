-- Drop the bot sessions.
drop table marketplace.bot_sessions;
