-- Drop the conversations, and what holds their moves.
drop table marketplace.conversations;

drop function marketplace.move_conversation();
