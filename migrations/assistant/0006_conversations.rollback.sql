-- Drop the conversations and what was said in them.
drop table assistant.message_history;

drop function assistant.require_live_conversation();

drop table assistant.conversations;
