-- What is in the users' calendars.
-- Lock: share row exclusive on assistant.users for the foreign key: writers to it wait, readers do
-- not.
-- Time: milliseconds, the new table is empty.
-- Undone by 0004_events.rollback.sql, which loses all events. What hangs on a deleted user cannot
-- be entered, nor restored: a foreign key alone is satisfied by a row that nobody sees. The lock
-- waits for a deletion that is on its way, and then looks again; the deletion (0007) waits for rows
-- that are on theirs.
create function assistant.require_live_user() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  perform
  from assistant.users as u
  where u.tenant_id = new.tenant_id and u.id = new.user_id and u.deleted_at is null
  for key share;

  if not found then
    raise exception 'assistant.%: there is no user %', tg_table_name, new.user_id
      using errcode = 'foreign_key_violation',
        constraint = tg_table_name || '_user_id_fkey',
        hint = 'A deleted user must be restored first: users.restore.';
  end if;

  return new;
end
$$;

comment on function assistant.require_live_user() is
'Its user must be there, not deleted. plainsql: reads assistant.users; writes nothing';

create table assistant.events (
  tenant_id varchar(50) not null default assistant.current_tenant(),
  id bigint generated always as identity,
  user_id bigint not null,
  title varchar(500) not null,
  description text,
  start_datetime timestamptz not null,
  end_datetime timestamptz,
  location varchar(500),
  event_type varchar(50),
  status varchar(20) not null default 'pending',
  reminder_minutes integer,
  recurrence_rule varchar(200),
  external_id varchar(255),
  extra_data jsonb not null default '{}',
  -- By way of UTC, because minutes off a time with zone are not immutable, though they are off any
  -- other.
  remind_at timestamptz generated always as (
    (start_datetime at time zone 'UTC' - make_interval(mins => reminder_minutes)) at time zone 'UTC'
  ) stored,
  reminded_at timestamptz,
  created_at timestamptz not null default now(),
  created_by text default assistant.acting_user(),
  updated_at timestamptz not null default now(),
  updated_by text default assistant.acting_user(),
  deleted_at timestamptz,
  constraint events_pkey primary key (tenant_id, id),
  constraint events_user_id_fkey
  foreign key (tenant_id, user_id) references assistant.users (tenant_id, id) on delete cascade,
  constraint events_title_not_empty check (title <> ''),
  constraint events_end_is_not_before_start check (end_datetime >= start_datetime),
  constraint events_status_known check (status in ('pending', 'completed', 'cancelled')),
  constraint events_reminder_minutes_range check (reminder_minutes between 0 and 525600),
  constraint events_recurrence_rule_has_freq
  check (recurrence_rule ~ '^(RRULE:)?([A-Z]+=[^;]+;)*FREQ=(DAILY|WEEKLY|MONTHLY|YEARLY)(;|$)'),
  constraint events_external_id_not_empty check (external_id <> ''),
  constraint events_extra_data_is_object check (jsonb_typeof(extra_data) = 'object')
);

comment on table assistant.events is 'What is in the users'' calendars';
comment on column assistant.events.end_datetime is 'Null where it is not known how long it takes';
comment on column assistant.events.status is 'pending, completed or cancelled';
comment on column assistant.events.reminder_minutes is
'How long before the start the user wants to be reminded; null for not at all';
comment on column assistant.events.recurrence_rule is
'How it comes back, as RFC 5545 writes it: "FREQ=WEEKLY;BYDAY=MO"';
comment on column assistant.events.external_id is
'What another calendar calls it; unique for a user';
comment on column assistant.events.remind_at is 'When the user is to be reminded, computed';
comment on column assistant.events.reminded_at is
'When the reminder was taken to be sent; null again once its time changes';

create unique index events_external_id_key on assistant.events (tenant_id, user_id, external_id)
where deleted_at is null and external_id is not null;

create index events_created_at_idx on assistant.events (tenant_id, created_at, id);

-- Serves the foreign key and all that is read of one user's calendar.
create index events_user_id_idx on assistant.events (tenant_id, user_id, start_datetime, id);

-- Serves what is about to begin for all users.
create index events_upcoming_idx on assistant.events (tenant_id, start_datetime, id)
where deleted_at is null and status = 'pending';

-- The few that last longer than a day: a range must find those that began long before it.
create index events_long_idx on assistant.events (tenant_id, user_id, end_datetime)
where end_datetime - start_datetime > interval '1 day';

-- The reminders still to be sent.
create index events_remind_at_idx on assistant.events (tenant_id, remind_at, id)
where deleted_at is null and status = 'pending' and reminded_at is null and remind_at is not null;

-- Serves the removal of what was deleted long ago.
create index events_deleted_at_idx on assistant.events (tenant_id, deleted_at, id)
where deleted_at is not null;

create function assistant.renew_event_reminder() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  new.reminded_at := null;
  return new;
end
$$;

comment on function assistant.renew_event_reminder() is
'A reminder that was moved is sent again. plainsql: writes nothing';

create trigger events_renew_reminder
before update of start_datetime, reminder_minutes on assistant.events
for each row when (
  (old.start_datetime, old.reminder_minutes)
  is distinct from (new.start_datetime, new.reminder_minutes)
)
execute function assistant.renew_event_reminder();

create trigger events_require_live_user
before insert or update of user_id, deleted_at on assistant.events
for each row when (new.deleted_at is null)
execute function assistant.require_live_user();

create trigger events_stamp_change
before update on assistant.events
for each row execute function assistant.stamp_change();

create trigger events_record_change
after insert or update or delete on assistant.events
for each row execute function assistant.record_change();

alter table assistant.events enable row level security;

alter table assistant.events force row level security;

create policy events_seen on assistant.events
for select
using (
  tenant_id = (select nullif(current_setting('app.jwt_tenant', true), ''))
  and deleted_at is null
);

create policy events_entered on assistant.events
for insert
with check (tenant_id = (select nullif(current_setting('app.jwt_tenant', true), '')));

create policy events_changed on assistant.events
for update
using (
  tenant_id = (select nullif(current_setting('app.jwt_tenant', true), ''))
  and deleted_at is null
)
with check (tenant_id = (select nullif(current_setting('app.jwt_tenant', true), '')));

create policy events_kept on assistant.events
to assistant_keeper
using (true)
with check (true);

grant select on assistant.events to assistant_app;

grant insert (
  user_id,
  title,
  description,
  start_datetime,
  end_datetime,
  location,
  event_type,
  status,
  reminder_minutes,
  recurrence_rule,
  external_id,
  extra_data,
  reminded_at
) on assistant.events to assistant_app;

grant update (
  user_id,
  title,
  description,
  start_datetime,
  end_datetime,
  location,
  event_type,
  status,
  reminder_minutes,
  recurrence_rule,
  external_id,
  extra_data,
  reminded_at,
  updated_at
) on assistant.events to assistant_app;

grant select, update (deleted_at), delete on assistant.events to assistant_keeper;
