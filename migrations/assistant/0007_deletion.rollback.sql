-- Drop the views of deletion, and what deletes and restores with a row.
drop trigger conversations_delete_with on assistant.conversations;

drop function assistant.delete_with_conversation();

drop trigger users_delete_with on assistant.users;

drop function assistant.delete_with_user();

drop trigger conversations_lock_before_deletion on assistant.conversations;

drop trigger users_lock_before_deletion on assistant.users;

drop function assistant.lock_before_deletion();

drop view assistant.deletable_message_history;

drop view assistant.deletable_conversations;

drop view assistant.deletable_notes;

drop view assistant.deletable_events;

drop view assistant.deletable_users;
