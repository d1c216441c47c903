-- Declare that the functions keep to one tenant, for ``plainsql check --distributed tenant_id``.
-- Lock: none on any table. Time: milliseconds.
-- Undone by 0013_distribution.rollback.sql.
--
-- Each looks for rows by the tenant of the row that fires it, or by that of app.jwt_tenant.
comment on function assistant.stamp_change() is
'Stamps a changed row with its time and the acting user. plainsql: writes nothing; keeps tenant_id';

comment on function assistant.require_live_user() is
'Its user must be there, not deleted. '
'plainsql: reads assistant.users; writes nothing; keeps tenant_id';

comment on function assistant.require_live_conversation() is
'Its conversation must be there, not deleted. '
'plainsql: reads assistant.conversations; writes nothing; keeps tenant_id';

comment on function assistant.require_deletion_now() is
'Refuses a deletion in the past or in the future. plainsql: writes nothing; keeps tenant_id';

comment on function assistant.set_note_language() is
'A note is in its user''s language unless told otherwise. '
'plainsql: reads assistant.users; writes nothing; keeps tenant_id';

-- The others belong to the keeper.
set local role assistant_keeper;

comment on function assistant.record_change() is
'Logs who changed a row, when and how. plainsql: writes assistant.audit_log; keeps tenant_id';

comment on function assistant.lock_before_deletion() is
'Waits for rows being entered for one that is to be deleted. '
'plainsql: writes nothing; keeps tenant_id';

comment on function assistant.delete_with_user() is
'A user takes along what hangs on it. '
'plainsql: writes assistant.events, assistant.notes, assistant.conversations, '
'assistant.message_history, assistant.audit_log; keeps tenant_id';

comment on function assistant.delete_with_conversation() is
'Deletes and restores with a conversation what was said in it. '
'plainsql: writes assistant.message_history, assistant.audit_log; keeps tenant_id';

comment on function assistant.notes_with_words(bigint, tsquery) is
'The tenant''s notes with these words, and how well they fit. '
'plainsql: reads assistant.notes; keeps tenant_id';

comment on function assistant.notes_with_tags(bigint, text[], text[]) is
'The tenant''s notes with any of some tags, all of others. '
'plainsql: reads assistant.notes; keeps tenant_id';

reset role;
