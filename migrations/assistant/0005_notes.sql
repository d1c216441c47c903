-- What the users want to remember.
-- Lock: share row exclusive on assistant.users for the foreign key: writers to it wait, readers do
-- not.
-- Time: milliseconds, the new table is empty.
-- Undone by 0005_notes.rollback.sql, which loses all notes.
create table assistant.notes (
  tenant_id varchar(50) not null default assistant.current_tenant(),
  id bigint generated always as identity,
  user_id bigint not null,
  title varchar(500),
  content text not null,
  category varchar(100),
  tags text[] not null default '{}',
  priority integer not null default 0,
  is_pinned boolean not null default false,
  reminder_datetime timestamptz,
  reminded_at timestamptz,
  language_code varchar(10),
  extra_data jsonb not null default '{}',
  created_at timestamptz not null default now(),
  created_by text default assistant.acting_user(),
  updated_at timestamptz not null default now(),
  updated_by text default assistant.acting_user(),
  deleted_at timestamptz,
  constraint notes_pkey primary key (tenant_id, id),
  constraint notes_user_id_fkey
  foreign key (tenant_id, user_id) references assistant.users (tenant_id, id) on delete cascade,
  constraint notes_content_not_empty check (content <> ''),
  constraint notes_tags_not_empty
  check (array_position(tags, null) is null and array_position(tags, '') is null),
  constraint notes_tags_one_row check (coalesce(array_ndims(tags), 1) = 1),
  constraint notes_extra_data_is_object check (jsonb_typeof(extra_data) = 'object')
);

comment on table assistant.notes is 'What the users want to remember';
comment on column assistant.notes.priority is 'The higher, the more important';
comment on column assistant.notes.reminded_at is
'When the reminder was taken to be sent; null again once its time changes';
comment on column assistant.notes.language_code is
'What it is written in: the user''s language unless told otherwise';

create index notes_created_at_idx on assistant.notes (tenant_id, created_at, id);

-- Serves the foreign key, and a user's notes with the pinned ones first.
create index notes_user_id_idx on assistant.notes (tenant_id, user_id, is_pinned, created_at, id);

-- The reminders still to be sent.
create index notes_reminder_datetime_idx on assistant.notes (tenant_id, reminder_datetime, id)
where deleted_at is null and reminded_at is null and reminder_datetime is not null;

-- Serves the removal of what was deleted long ago.
create index notes_deleted_at_idx on assistant.notes (tenant_id, deleted_at, id)
where deleted_at is not null;

create function assistant.set_note_language() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  select u.language_code
  into new.language_code
  from assistant.users as u
  where u.tenant_id = new.tenant_id and u.id = new.user_id;

  return new;
end
$$;

comment on function assistant.set_note_language() is
'A note is in its user''s language unless told otherwise. '
'plainsql: reads assistant.users; writes nothing';

create trigger notes_set_language
before insert on assistant.notes
for each row when (new.language_code is null)
execute function assistant.set_note_language();

create function assistant.renew_note_reminder() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  new.reminded_at := null;
  return new;
end
$$;

comment on function assistant.renew_note_reminder() is
'A reminder that was moved is sent again. plainsql: writes nothing';

create trigger notes_renew_reminder
before update of reminder_datetime on assistant.notes
for each row when (old.reminder_datetime is distinct from new.reminder_datetime)
execute function assistant.renew_note_reminder();

create trigger notes_require_live_user
before insert or update of user_id, deleted_at on assistant.notes
for each row when (new.deleted_at is null)
execute function assistant.require_live_user();

create trigger notes_stamp_change
before update on assistant.notes
for each row execute function assistant.stamp_change();

create trigger notes_record_change
after insert or update or delete on assistant.notes
for each row execute function assistant.record_change();

alter table assistant.notes enable row level security;

alter table assistant.notes force row level security;

create policy notes_seen on assistant.notes
for select
using (
  tenant_id = (select nullif(current_setting('app.jwt_tenant', true), ''))
  and deleted_at is null
);

create policy notes_entered on assistant.notes
for insert
with check (tenant_id = (select nullif(current_setting('app.jwt_tenant', true), '')));

create policy notes_changed on assistant.notes
for update
using (
  tenant_id = (select nullif(current_setting('app.jwt_tenant', true), ''))
  and deleted_at is null
)
with check (tenant_id = (select nullif(current_setting('app.jwt_tenant', true), '')));

create policy notes_kept on assistant.notes
to assistant_keeper
using (true)
with check (true);

grant select on assistant.notes to assistant_app;

grant insert (
  user_id,
  title,
  content,
  category,
  tags,
  priority,
  is_pinned,
  reminder_datetime,
  reminded_at,
  language_code,
  extra_data
) on assistant.notes to assistant_app;

grant update (
  user_id,
  title,
  content,
  category,
  tags,
  priority,
  is_pinned,
  reminder_datetime,
  reminded_at,
  language_code,
  extra_data,
  updated_at
) on assistant.notes to assistant_app;

grant select, update (deleted_at), delete on assistant.notes to assistant_keeper;
