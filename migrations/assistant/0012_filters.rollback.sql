-- transactional: false
-- Drop the indexes of the filters.
-- Lock: none that readers or writers wait for, as the indexes are dropped concurrently.
drop index concurrently if exists assistant.message_history_message_id_idx;

drop index concurrently if exists assistant.notes_pinned_idx;

drop index concurrently if exists assistant.notes_category_idx;

drop index concurrently if exists assistant.events_event_type_idx;

drop index concurrently if exists assistant.events_status_idx;

drop index concurrently if exists assistant.conversations_active_state_idx;

drop index concurrently if exists assistant.conversations_current_state_idx;
