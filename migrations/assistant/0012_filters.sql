-- transactional: false
-- The indexes of the filters by state, status, event type, category and message id.
-- Lock: none that readers or writers wait for, as the indexes are built concurrently.
-- Time: seconds for a million messages.
-- Undone by 0012_filters.rollback.sql; the filters then read whole tenants and stay right.
--
-- The rows of a rare value are found among all those of a tenant. A value that most rows have
-- needs no index, as a page of the newest rows has enough of them.
create index concurrently conversations_current_state_idx
on assistant.conversations (tenant_id, current_state, created_at, id)
where deleted_at is null;

-- The open ones in a state: a small part of all.
create index concurrently conversations_active_state_idx
on assistant.conversations (tenant_id, current_state, last_activity, id)
where is_active and deleted_at is null;

create index concurrently events_status_idx
on assistant.events (tenant_id, status, created_at, id)
where deleted_at is null;

create index concurrently events_event_type_idx
on assistant.events (tenant_id, event_type, created_at, id)
where event_type is not null and deleted_at is null;

create index concurrently notes_category_idx
on assistant.notes (tenant_id, category, created_at, id)
where category is not null and deleted_at is null;

create index concurrently notes_pinned_idx
on assistant.notes (tenant_id, created_at, id)
where is_pinned and deleted_at is null;

create index concurrently message_history_message_id_idx
on assistant.message_history (tenant_id, message_id, created_at, id)
where message_id is not null and deleted_at is null;
