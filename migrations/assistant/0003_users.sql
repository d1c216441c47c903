-- The people whom the assistant serves.
-- Lock: none on existing tables. Time: milliseconds.
-- Undone by 0003_users.rollback.sql, which loses all users.
--
-- How this and the following tables are guarded. The application's select policy leaves deleted
-- rows out, so no query of its can show one, whatever it forgets to ask. PostgreSQL refuses an
-- update whose new row the select policy hides, so the application could not mark a row deleted
-- either; and it must not set deleted_at by hand, nor who changed what and when: it may write only
-- the columns granted below. Rows are marked deleted, restored and removed through the views of
-- 0007_deletion.sql.
create table assistant.users (
  tenant_id varchar(50) not null default assistant.current_tenant(),
  id bigint generated always as identity,
  telegram_id bigint,
  username varchar(255),
  first_name varchar(255),
  last_name varchar(255),
  language_code varchar(10),
  timezone varchar(50) not null default 'UTC',
  is_active boolean not null default true,
  preferences jsonb not null default '{}',
  created_at timestamptz not null default now(),
  created_by text default assistant.acting_user(),
  updated_at timestamptz not null default now(),
  updated_by text default assistant.acting_user(),
  deleted_at timestamptz,
  constraint users_pkey primary key (tenant_id, id),
  constraint users_tenant_id_not_empty check (tenant_id <> ''),
  -- An unknown zone is refused by an error of its own: time zone "…" not recognized.
  constraint users_timezone_known
  check (timestamp '2000-01-01 00:00' at time zone timezone is not null),
  constraint users_preferences_is_object check (jsonb_typeof(preferences) = 'object')
);

comment on table assistant.users is 'The people whom the assistant serves';
comment on column assistant.users.telegram_id is 'Who this is on Telegram';
comment on column assistant.users.language_code is
'As Telegram says it: "es", "pt-br"; the language of the user''s notes unless told otherwise';
comment on column assistant.users.timezone is 'Where the user''s day begins: "America/Lima"';
comment on column assistant.users.is_active is 'Whether the assistant still writes to this user';
comment on column assistant.users.deleted_at is 'Null as long as the row is to be seen';

-- A deleted user leaves the Telegram account free: who comes back is entered anew.
create unique index users_telegram_id_key on assistant.users (tenant_id, telegram_id)
where deleted_at is null;

create index users_created_at_idx on assistant.users (tenant_id, created_at, id);

-- Serves the removal of what was deleted long ago.
create index users_deleted_at_idx on assistant.users (tenant_id, deleted_at, id)
where deleted_at is not null;

create trigger users_stamp_change
before update on assistant.users
for each row execute function assistant.stamp_change();

create trigger users_record_change
after insert or update or delete on assistant.users
for each row execute function assistant.record_change();

alter table assistant.users enable row level security;

alter table assistant.users force row level security;

create policy users_seen on assistant.users
for select
using (
  tenant_id = (select nullif(current_setting('app.jwt_tenant', true), ''))
  and deleted_at is null
);

create policy users_entered on assistant.users
for insert
with check (tenant_id = (select nullif(current_setting('app.jwt_tenant', true), '')));

create policy users_changed on assistant.users
for update
using (
  tenant_id = (select nullif(current_setting('app.jwt_tenant', true), ''))
  and deleted_at is null
)
with check (tenant_id = (select nullif(current_setting('app.jwt_tenant', true), '')));

create policy users_kept on assistant.users
to assistant_keeper
using (true)
with check (true);

grant select on assistant.users to assistant_app;

grant insert (
  telegram_id,
  username,
  first_name,
  last_name,
  language_code,
  timezone,
  is_active,
  preferences
) on assistant.users to assistant_app;

grant update (
  telegram_id,
  username,
  first_name,
  last_name,
  language_code,
  timezone,
  is_active,
  preferences,
  updated_at
) on assistant.users to assistant_app;

grant select, update (deleted_at), delete on assistant.users to assistant_keeper;
