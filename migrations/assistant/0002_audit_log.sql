-- Who changed what, and when: written by the database for every table, and never changed.
-- Lock: none on existing tables. Time: milliseconds.
-- Undone by 0002_audit_log.rollback.sql, which loses the log.
--
-- The application may read its tenant's log and nothing else. Rows come from triggers, which act as
-- assistant_keeper. Nobody changes or removes one, the tables' owner included; who must (a
-- retention period, a person's right to be forgotten) disables the trigger audit_log_append_only
-- knowingly, in one transaction with the work.
--
-- There is no foreign key: the log outlives what it tells of.
create table assistant.audit_log (
  tenant_id varchar(50) not null,
  id bigint generated always as identity,
  actor text,
  db_role text not null,
  action varchar(20) not null,
  table_name varchar(63) not null,
  row_id bigint not null,
  old jsonb,
  new jsonb,
  created_at timestamptz not null,
  constraint audit_log_pkey primary key (tenant_id, id),
  constraint audit_log_action_known
  check (action in ('insert', 'update', 'soft_delete', 'restore', 'purge'))
);

comment on table assistant.audit_log is 'Who changed what, and when; written by the database';
comment on column assistant.audit_log.actor is 'Who: the user that app.jwt_user named';
comment on column assistant.audit_log.db_role is 'The role that was logged in';
comment on column assistant.audit_log.action is
'What was done: insert, update, soft_delete, restore or purge';
comment on column assistant.audit_log.row_id is 'The id of the row in its table';
comment on column assistant.audit_log.old is
'What was there before: of a purge the whole row, else the columns that changed';
comment on column assistant.audit_log.new is
'What is there now: of an insert the whole row, else the columns that changed';

-- Serves the trail of one row.
create index audit_log_row_idx on assistant.audit_log (tenant_id, table_name, row_id, id);

-- These serve the log of a table, of a user, of a kind, and of all.
create index audit_log_table_name_idx
on assistant.audit_log (tenant_id, table_name, created_at, id);

create index audit_log_actor_idx on assistant.audit_log (tenant_id, actor, created_at, id);

create index audit_log_action_idx on assistant.audit_log (tenant_id, action, created_at, id);

create index audit_log_created_at_idx on assistant.audit_log (tenant_id, created_at, id);

alter table assistant.audit_log enable row level security;

alter table assistant.audit_log force row level security;

create policy audit_log_of_tenant on assistant.audit_log
for select
using (tenant_id = (select nullif(current_setting('app.jwt_tenant', true), '')));

-- Any tenant's row: what is changed by hand, with no tenant set, is logged as well. The keeper
-- inserts through the trigger function below and in no other way.
create policy audit_log_kept on assistant.audit_log
for insert to assistant_keeper
with check (true);

grant select on assistant.audit_log to assistant_app;

grant insert on assistant.audit_log to assistant_keeper;

-- Log a change of a row. The clock's time and not the transaction's: the log is in the order in
-- which things were done.
--
-- An update that changes nothing but its own stamps is not logged. Computed columns are left out:
-- they follow from the others.
create function assistant.record_change() returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  computed constant text[] := '{words,remind_at}';
  stamps constant text[] := '{updated_at,updated_by}';
  before jsonb;
  after jsonb;
  done text;
begin
  if tg_op <> 'INSERT' then
    before := to_jsonb(old) - computed;
  end if;

  if tg_op <> 'DELETE' then
    after := to_jsonb(new) - computed;
  end if;

  if tg_op = 'UPDATE' then
    select
      jsonb_object_agg(b.key, b.value),
      jsonb_object_agg(b.key, after -> b.key)
    into before, after
    from jsonb_each(before) as b
    where b.value is distinct from after -> b.key and b.key <> all (stamps);

    if before is null then
      return null;
    end if;
  end if;

  done := case
    when tg_op = 'INSERT' then 'insert'
    when tg_op = 'DELETE' then 'purge'
    when old.deleted_at is null and new.deleted_at is not null then 'soft_delete'
    when old.deleted_at is not null and new.deleted_at is null then 'restore'
    else 'update'
  end;

  insert into assistant.audit_log (
    tenant_id, actor, db_role, action, table_name, row_id, old, new, created_at
  )
  values (
    coalesce(new.tenant_id, old.tenant_id),
    assistant.acting_user(),
    session_user,
    done,
    tg_table_name,
    coalesce(new.id, old.id),
    before,
    after,
    clock_timestamp()
  );

  return null;
end
$$;

comment on function assistant.record_change() is
'Logs who changed a row, when and how. plainsql: writes assistant.audit_log';

alter function assistant.record_change() owner to assistant_keeper;

create function assistant.refuse_change() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  raise exception 'assistant.audit_log is append-only: % refused', lower(tg_op)
    using errcode = 'insufficient_privilege';
end
$$;

comment on function assistant.refuse_change() is
'Refuses to change or remove what was logged. plainsql: writes nothing';

create trigger audit_log_append_only
before update or delete or truncate on assistant.audit_log
for each statement execute function assistant.refuse_change();
