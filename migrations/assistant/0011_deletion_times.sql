-- A row is deleted now, and not long ago.
-- Lock: share row exclusive on the five tables for their triggers: writers wait, readers do not.
-- Time: milliseconds. No row is looked at: times that stand there stay.
-- Undone by 0011_deletion_times.rollback.sql.
--
-- What was deleted long ago is removed for good by the next cleanup. By the views of 0007 the
-- application writes deleted_at itself: with a time of 1970 its row would be gone at once, with
-- one to come it would never go.
--
-- The time must lie between the transaction's beginning and now, give or take a minute, by which
-- the server's clock may be put back in between. Who acts as assistant_keeper writes what it wants:
-- what goes with a user has the user's time, and a superuser may put a row right by hand.
create function assistant.require_deletion_now() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  if
    new.deleted_at not between
      now() - interval '1 minute' and clock_timestamp() + interval '1 minute'
    and not pg_has_role(current_user, 'assistant_keeper', 'USAGE')
  then
    raise exception 'assistant.%: a row is deleted now, and not at %', tg_table_name, new.deleted_at
      using errcode = 'check_violation',
        schema = 'assistant',
        table = tg_table_name,
        column = 'deleted_at',
        constraint = tg_table_name || '_deleted_now',
        hint = 'Set deleted_at to clock_timestamp(), or remove the row with purge.';
  end if;

  return new;
end
$$;

comment on function assistant.require_deletion_now() is
'Refuses a deletion in the past or in the future. plainsql: writes nothing';

revoke all on function assistant.require_deletion_now() from public;

create trigger users_require_deletion_now
before update of deleted_at on assistant.users
for each row when (new.deleted_at is not null and new.deleted_at is distinct from old.deleted_at)
execute function assistant.require_deletion_now();

create trigger events_require_deletion_now
before update of deleted_at on assistant.events
for each row when (new.deleted_at is not null and new.deleted_at is distinct from old.deleted_at)
execute function assistant.require_deletion_now();

create trigger notes_require_deletion_now
before update of deleted_at on assistant.notes
for each row when (new.deleted_at is not null and new.deleted_at is distinct from old.deleted_at)
execute function assistant.require_deletion_now();

create trigger conversations_require_deletion_now
before update of deleted_at on assistant.conversations
for each row when (new.deleted_at is not null and new.deleted_at is distinct from old.deleted_at)
execute function assistant.require_deletion_now();

create trigger message_history_require_deletion_now
before update of deleted_at on assistant.message_history
for each row when (new.deleted_at is not null and new.deleted_at is distinct from old.deleted_at)
execute function assistant.require_deletion_now();
