-- Drop the messages.
drop table marketplace.messages;
