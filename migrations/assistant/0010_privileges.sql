-- What the keeper's functions look names up in, who may have a trigger call them, and what the
-- keeper may create.
-- Lock: none on any table. Time: milliseconds.
-- Undone by 0010_privileges.rollback.sql, which keeps what is closed here.
--
-- PostgreSQL looks types and tables up in pg_temp first unless search_path names it last, and any
-- role may create a type there: under search_path = '' a body that says jsonb takes
-- pg_temp.jsonb, a domain of the application's, whose check then runs as assistant_keeper. The
-- trigger functions without rights of their own have the same path, as they run inside the
-- keeper's statements as well.
--
-- A trigger function believes the row that it is given. Who may execute it may have it called by
-- a trigger of a temporary table, with rows of any tenant: so nobody may but its owner, and, of
-- what logs, the schema's, whose later tables want to be logged. Triggers that are there fire
-- without that right.
--
-- The keeper was given `create` on the schema only to become the owner of its views and functions.
do $$
declare
  before constant text := current_setting('role');
  schema_owner text;
  called text;
begin
  select n.nspowner::regrole::text
  into strict schema_owner
  from pg_catalog.pg_namespace as n
  where n.nspname = 'assistant';

  if not pg_has_role(current_user, 'assistant_keeper', 'SET') then
    raise exception '% cannot become the role "assistant_keeper"', current_user
      using errcode = 'insufficient_privilege',
        hint = format(
          'Let a superuser run: grant assistant_keeper to %I with inherit false, set true;',
          current_user
        );
  end if;

  -- Its owner alone may alter a function, and who migrates need not inherit the keeper's rights.
  perform set_config('role', 'assistant_keeper', true);

  alter function assistant.record_change() set search_path = pg_catalog, pg_temp;
  alter function assistant.lock_before_deletion() set search_path = pg_catalog, pg_temp;
  alter function assistant.delete_with_user() set search_path = pg_catalog, pg_temp;
  alter function assistant.delete_with_conversation() set search_path = pg_catalog, pg_temp;
  alter function assistant.notes_with_words(bigint, tsquery)
  set search_path = pg_catalog, pg_temp;
  alter function assistant.notes_with_tags(bigint, text[], text[])
  set search_path = pg_catalog, pg_temp;

  revoke all on function assistant.record_change() from public;
  revoke all on function assistant.lock_before_deletion() from public;
  revoke all on function assistant.delete_with_user() from public;
  revoke all on function assistant.delete_with_conversation() from public;
  execute format('grant execute on function assistant.record_change() to %s', schema_owner);

  perform set_config('role', before, true);

  -- What an application may have left behind before this: it is told, not removed.
  for called in
    select format('the trigger %I of %s calls %s', t.tgname, t.tgrelid::regclass, p.oid::regprocedure)
    from pg_catalog.pg_trigger as t
    inner join pg_catalog.pg_proc as p on t.tgfoid = p.oid
    inner join pg_catalog.pg_class as c on t.tgrelid = c.oid
    where
      p.proowner = 'assistant_keeper'::regrole
      and c.relnamespace <> 'assistant'::regnamespace
    union all
    select format('%s belongs to assistant_keeper', pg_describe_object(d.classid, d.objid, 0))
    from pg_catalog.pg_shdepend as d
    where
      d.refclassid = 'pg_authid'::regclass
      and d.refobjid = 'assistant_keeper'::regrole
      and d.deptype = 'o'
      and d.dbid = (select b.oid from pg_catalog.pg_database as b where b.datname = current_database())
      and d.objid not in (
        select to_regclass('assistant.deletable_' || v.name)::oid
        from unnest(array['users', 'events', 'notes', 'conversations', 'message_history']) as v (name)
        union all
        select f.name::regprocedure::oid
        from unnest(array[
          'assistant.record_change()',
          'assistant.lock_before_deletion()',
          'assistant.delete_with_user()',
          'assistant.delete_with_conversation()',
          'assistant.notes_with_words(bigint, tsquery)',
          'assistant.notes_with_tags(bigint, text[], text[])'
        ]) as f (name)
      )
  loop
    raise warning '%, and no migration of assistant has made it so: see who has', called;
  end loop;
end
$$;

revoke create on schema assistant from assistant_keeper;

do $$
begin
  alter function assistant.stamp_change() set search_path = pg_catalog, pg_temp;
  alter function assistant.refuse_change() set search_path = pg_catalog, pg_temp;
  alter function assistant.require_live_user() set search_path = pg_catalog, pg_temp;
  alter function assistant.require_live_conversation() set search_path = pg_catalog, pg_temp;
  alter function assistant.set_note_language() set search_path = pg_catalog, pg_temp;
  alter function assistant.renew_event_reminder() set search_path = pg_catalog, pg_temp;
  alter function assistant.renew_note_reminder() set search_path = pg_catalog, pg_temp;
  alter function assistant.occurrences(timestamptz, text, text, timestamptz, timestamptz)
  set search_path = pg_catalog, pg_temp;
end
$$;

revoke all on function assistant.stamp_change() from public;

revoke all on function assistant.refuse_change() from public;

revoke all on function assistant.require_live_user() from public;

revoke all on function assistant.require_live_conversation() from public;

revoke all on function assistant.set_note_language() from public;

revoke all on function assistant.renew_event_reminder() from public;

revoke all on function assistant.renew_note_reminder() from public;
