-- Drop the conversations and their messages.
drop table realty.messages;

drop type realty.message_type;

drop table realty.conversations;
