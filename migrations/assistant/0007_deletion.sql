-- What a deletion is: views through which rows are marked deleted, restored and removed, and what
-- goes with a row.
-- Lock: share row exclusive on assistant.users and assistant.conversations for the triggers:
-- writers wait, readers do not.
-- Time: milliseconds.
-- Undone by 0007_deletion.rollback.sql; deleted rows stay deleted.
--
-- The views belong to assistant_keeper, who sees deleted rows; so each says the tenant itself,
-- behind a barrier, and shows no content: a key, and when the row was deleted. They are the only
-- way to deleted_at, and each way through them is logged.
create view assistant.deletable_users with (security_barrier = true) as
select
  t.tenant_id,
  t.id,
  t.deleted_at
from assistant.users as t
where t.tenant_id = (select nullif(current_setting('app.jwt_tenant', true), ''));

comment on view assistant.deletable_users is
'The keys of assistant.users, and what is deleted of it';

grant select, update (deleted_at), delete on assistant.deletable_users to assistant_app;

alter view assistant.deletable_users owner to assistant_keeper;

create view assistant.deletable_events with (security_barrier = true) as
select
  t.tenant_id,
  t.id,
  t.deleted_at
from assistant.events as t
where t.tenant_id = (select nullif(current_setting('app.jwt_tenant', true), ''));

comment on view assistant.deletable_events is
'The keys of assistant.events, and what is deleted of it';

grant select, update (deleted_at), delete on assistant.deletable_events to assistant_app;

alter view assistant.deletable_events owner to assistant_keeper;

create view assistant.deletable_notes with (security_barrier = true) as
select
  t.tenant_id,
  t.id,
  t.deleted_at
from assistant.notes as t
where t.tenant_id = (select nullif(current_setting('app.jwt_tenant', true), ''));

comment on view assistant.deletable_notes is
'The keys of assistant.notes, and what is deleted of it';

grant select, update (deleted_at), delete on assistant.deletable_notes to assistant_app;

alter view assistant.deletable_notes owner to assistant_keeper;

create view assistant.deletable_conversations with (security_barrier = true) as
select
  t.tenant_id,
  t.id,
  t.deleted_at
from assistant.conversations as t
where t.tenant_id = (select nullif(current_setting('app.jwt_tenant', true), ''));

comment on view assistant.deletable_conversations is
'The keys of assistant.conversations, and what is deleted of it';

grant select, update (deleted_at), delete on assistant.deletable_conversations to assistant_app;

alter view assistant.deletable_conversations owner to assistant_keeper;

create view assistant.deletable_message_history with (security_barrier = true) as
select
  t.tenant_id,
  t.id,
  t.deleted_at
from assistant.message_history as t
where t.tenant_id = (select nullif(current_setting('app.jwt_tenant', true), ''));

comment on view assistant.deletable_message_history is
'The keys of assistant.message_history, and what is deleted of it';

grant select, update (deleted_at), delete on assistant.deletable_message_history to assistant_app;

alter view assistant.deletable_message_history owner to assistant_keeper;

-- What others refer to is locked against foreign keys before it is deleted: rows that are being
-- entered for it are waited for and deleted as well, and those that come later wait, and are
-- refused. Before and not after the row is changed: a foreign key passes by a change that leaves
-- the key as it is.
create function assistant.lock_before_deletion() returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  execute format(
    'select from assistant.%I as t where t.tenant_id = $1 and t.id = $2 for update',
    tg_table_name
  )
  using old.tenant_id, old.id;

  return new;
end
$$;

comment on function assistant.lock_before_deletion() is
'Waits for rows being entered for one that is to be deleted. plainsql: writes nothing';

alter function assistant.lock_before_deletion() owner to assistant_keeper;

create trigger users_lock_before_deletion
before update of deleted_at on assistant.users
for each row when (old.deleted_at is null and new.deleted_at is not null)
execute function assistant.lock_before_deletion();

create trigger conversations_lock_before_deletion
before update of deleted_at on assistant.conversations
for each row when (old.deleted_at is null and new.deleted_at is not null)
execute function assistant.lock_before_deletion();

-- What hangs on a row is deleted with it, at the same time, and is restored with it; what was
-- deleted before stays deleted.
create function assistant.delete_with_user() returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  update assistant.events as e
  set deleted_at = new.deleted_at
  where
    e.tenant_id = new.tenant_id
    and e.user_id = new.id
    and e.deleted_at is not distinct from old.deleted_at;

  update assistant.notes as n
  set deleted_at = new.deleted_at
  where
    n.tenant_id = new.tenant_id
    and n.user_id = new.id
    and n.deleted_at is not distinct from old.deleted_at;

  update assistant.conversations as c
  set deleted_at = new.deleted_at
  where
    c.tenant_id = new.tenant_id
    and c.user_id = new.id
    and c.deleted_at is not distinct from old.deleted_at;

  return null;
end
$$;

comment on function assistant.delete_with_user() is
'A user takes along what hangs on it. '
'plainsql: writes assistant.events, assistant.notes, assistant.conversations, '
'assistant.message_history, assistant.audit_log';

alter function assistant.delete_with_user() owner to assistant_keeper;

create trigger users_delete_with
after update of deleted_at on assistant.users
for each row when (old.deleted_at is distinct from new.deleted_at)
execute function assistant.delete_with_user();

create function assistant.delete_with_conversation() returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  update assistant.message_history as m
  set deleted_at = new.deleted_at
  where
    m.tenant_id = new.tenant_id
    and m.conversation_id = new.id
    and m.deleted_at is not distinct from old.deleted_at;

  return null;
end
$$;

comment on function assistant.delete_with_conversation() is
'Deletes and restores with a conversation what was said in it. '
'plainsql: writes assistant.message_history, assistant.audit_log';

alter function assistant.delete_with_conversation() owner to assistant_keeper;

create trigger conversations_delete_with
after update of deleted_at on assistant.conversations
for each row when (old.deleted_at is distinct from new.deleted_at)
execute function assistant.delete_with_conversation();
