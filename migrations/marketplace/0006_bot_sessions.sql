-- The runs of the bot: what it did, and when it was last heard of.
-- Lock: none on existing tables. Time: milliseconds.
-- Undone by 0006_bot_sessions.rollback.sql, which loses all bot sessions.
create table marketplace.bot_sessions (
  id bigint generated always as identity,
  session_key text not null,
  started_at timestamptz not null default now(),
  last_activity_at timestamptz not null default now(),
  ended_at timestamptz,
  actions_count integer not null default 0,
  errors_count integer not null default 0,
  details jsonb not null default '{}',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint bot_sessions_pkey primary key (id),
  constraint bot_sessions_session_key_key unique (session_key),
  constraint bot_sessions_session_key_not_empty check (session_key <> ''),
  constraint bot_sessions_actions_count_not_negative check (actions_count >= 0),
  constraint bot_sessions_errors_count_not_negative check (errors_count >= 0),
  constraint bot_sessions_ended_after_started check (ended_at >= started_at),
  constraint bot_sessions_details_is_object check (jsonb_typeof(details) = 'object')
);

comment on table marketplace.bot_sessions is 'The runs of the bot';
comment on column marketplace.bot_sessions.ended_at is
'Null as long as it runs, or where it died unseen';

create index bot_sessions_created_at_idx on marketplace.bot_sessions (created_at, id);

-- What is old enough to be deleted.
create index bot_sessions_last_activity_at_idx
on marketplace.bot_sessions (last_activity_at, id);

-- Those that run, the longest silent first.
create index bot_sessions_open_idx
on marketplace.bot_sessions (last_activity_at, id)
where ended_at is null;

create trigger bot_sessions_set_updated_at
before update on marketplace.bot_sessions
for each row when (old.* is distinct from new.*) execute function marketplace.set_updated_at();
