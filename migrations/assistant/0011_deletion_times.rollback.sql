-- Let the application say when a row was deleted: the next cleanup believes it.
-- Lock: access exclusive on the five tables for their triggers, for milliseconds.
drop trigger message_history_require_deletion_now on assistant.message_history;

drop trigger conversations_require_deletion_now on assistant.conversations;

drop trigger notes_require_deletion_now on assistant.notes;

drop trigger events_require_deletion_now on assistant.events;

drop trigger users_require_deletion_now on assistant.users;

drop function assistant.require_deletion_now();
