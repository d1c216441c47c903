-- The conversations with users, what state each is in, and what was said.
-- Lock: share row exclusive on assistant.users for the foreign key: writers to it wait, readers do
-- not.
-- Time: milliseconds, the new tables are empty.
-- Undone by 0006_conversations.rollback.sql, which loses all conversations and their messages.
create table assistant.conversations (
  tenant_id varchar(50) not null default assistant.current_tenant(),
  id bigint generated always as identity,
  user_id bigint not null,
  session_id varchar(255) not null,
  current_state varchar(50) not null default 'idle',
  context_data jsonb not null default '{}',
  last_message_id varchar(255),
  is_active boolean not null default true,
  started_at timestamptz not null default now(),
  last_activity timestamptz not null default now(),
  created_at timestamptz not null default now(),
  created_by text default assistant.acting_user(),
  updated_at timestamptz not null default now(),
  updated_by text default assistant.acting_user(),
  deleted_at timestamptz,
  constraint conversations_pkey primary key (tenant_id, id),
  constraint conversations_user_id_fkey
  foreign key (tenant_id, user_id) references assistant.users (tenant_id, id) on delete cascade,
  constraint conversations_session_id_not_empty check (session_id <> ''),
  constraint conversations_current_state_not_empty check (current_state <> ''),
  constraint conversations_context_data_is_object check (jsonb_typeof(context_data) = 'object')
);

comment on table assistant.conversations is 'What a user and the assistant are in the middle of';
comment on column assistant.conversations.session_id is 'What the channel calls the conversation';
comment on column assistant.conversations.current_state is 'Where the dialogue stands';
comment on column assistant.conversations.context_data is 'What the dialogue has gathered so far';
comment on column assistant.conversations.last_message_id is
'What the channel calls the last message';
comment on column assistant.conversations.last_activity is 'When something last happened in it';

create unique index conversations_session_id_key on assistant.conversations (tenant_id, session_id)
where deleted_at is null;

create index conversations_created_at_idx on assistant.conversations (tenant_id, created_at, id);

-- Serves the foreign key and the conversations of a user.
create index conversations_user_id_idx
on assistant.conversations (tenant_id, user_id, last_activity, id);

-- The open ones: the busiest from one end, the idle from the other.
create index conversations_active_idx on assistant.conversations (tenant_id, last_activity, id)
where is_active and deleted_at is null;

-- Serves the removal of what was deleted long ago.
create index conversations_deleted_at_idx on assistant.conversations (tenant_id, deleted_at, id)
where deleted_at is not null;

create trigger conversations_require_live_user
before insert or update of user_id, deleted_at on assistant.conversations
for each row when (new.deleted_at is null)
execute function assistant.require_live_user();

create trigger conversations_stamp_change
before update on assistant.conversations
for each row execute function assistant.stamp_change();

create trigger conversations_record_change
after insert or update or delete on assistant.conversations
for each row execute function assistant.record_change();

alter table assistant.conversations enable row level security;

alter table assistant.conversations force row level security;

create policy conversations_seen on assistant.conversations
for select
using (
  tenant_id = (select nullif(current_setting('app.jwt_tenant', true), ''))
  and deleted_at is null
);

create policy conversations_entered on assistant.conversations
for insert
with check (tenant_id = (select nullif(current_setting('app.jwt_tenant', true), '')));

create policy conversations_changed on assistant.conversations
for update
using (
  tenant_id = (select nullif(current_setting('app.jwt_tenant', true), ''))
  and deleted_at is null
)
with check (tenant_id = (select nullif(current_setting('app.jwt_tenant', true), '')));

create policy conversations_kept on assistant.conversations
to assistant_keeper
using (true)
with check (true);

grant select on assistant.conversations to assistant_app;

grant insert (
  user_id,
  session_id,
  current_state,
  context_data,
  last_message_id,
  is_active,
  started_at,
  last_activity
) on assistant.conversations to assistant_app;

grant update (
  user_id,
  session_id,
  current_state,
  context_data,
  last_message_id,
  is_active,
  started_at,
  last_activity,
  updated_at
) on assistant.conversations to assistant_app;

grant select, update (deleted_at), delete on assistant.conversations to assistant_keeper;

-- What hangs on a deleted conversation cannot be entered, nor restored: a foreign key alone is
-- satisfied by a row that nobody sees. The lock waits for a deletion that is on its way, and then
-- looks again; the deletion (0007) waits for rows that are on theirs.
create function assistant.require_live_conversation() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  perform
  from assistant.conversations as c
  where c.tenant_id = new.tenant_id and c.id = new.conversation_id and c.deleted_at is null
  for key share;

  if not found then
    raise exception 'assistant.%: there is no conversation %', tg_table_name, new.conversation_id
      using errcode = 'foreign_key_violation',
        constraint = tg_table_name || '_conversation_id_fkey',
        hint = 'A deleted conversation must be restored first: users.restore.';
  end if;

  return new;
end
$$;

comment on function assistant.require_live_conversation() is
'Its conversation must be there, not deleted. '
'plainsql: reads assistant.conversations; writes nothing';

-- created_at is the clock's time and not the transaction's: what is said in one transaction must
-- keep its order.
create table assistant.message_history (
  tenant_id varchar(50) not null default assistant.current_tenant(),
  id bigint generated always as identity,
  conversation_id bigint not null,
  message_id varchar(255),
  user_message text,
  bot_response text,
  intent_detected varchar(100),
  entities_extracted jsonb not null default '{}',
  confidence_score double precision,
  processing_time_ms integer,
  created_at timestamptz not null default clock_timestamp(),
  created_by text default assistant.acting_user(),
  updated_at timestamptz not null default clock_timestamp(),
  updated_by text default assistant.acting_user(),
  deleted_at timestamptz,
  constraint message_history_pkey primary key (tenant_id, id),
  constraint message_history_conversation_id_fkey
  foreign key (tenant_id, conversation_id)
  references assistant.conversations (tenant_id, id) on delete cascade,
  constraint message_history_something_said check (num_nonnulls(user_message, bot_response) > 0),
  constraint message_history_confidence_score_range check (confidence_score between 0 and 1),
  constraint message_history_processing_time_ms_not_negative check (processing_time_ms >= 0)
);

comment on table assistant.message_history is
'What was said and answered, in the order of created_at';
comment on column assistant.message_history.message_id is 'What the channel calls the message';
comment on column assistant.message_history.intent_detected is 'What the user was taken to want';
comment on column assistant.message_history.entities_extracted is
'What was found in the text: dates, names, places';
comment on column assistant.message_history.confidence_score is 'How sure of the intent, 0 to 1';

create index message_history_created_at_idx
on assistant.message_history (tenant_id, created_at, id);

-- Serves the foreign key and the history of a conversation.
create index message_history_conversation_id_idx
on assistant.message_history (tenant_id, conversation_id, created_at, id);

create index message_history_intent_detected_idx
on assistant.message_history (tenant_id, intent_detected, created_at, id)
where intent_detected is not null and deleted_at is null;

-- Serves the removal of what was deleted long ago.
create index message_history_deleted_at_idx on assistant.message_history (tenant_id, deleted_at, id)
where deleted_at is not null;

create trigger message_history_require_live_conversation
before insert or update of conversation_id, deleted_at on assistant.message_history
for each row when (new.deleted_at is null)
execute function assistant.require_live_conversation();

create trigger message_history_stamp_change
before update on assistant.message_history
for each row execute function assistant.stamp_change();

create trigger message_history_record_change
after insert or update or delete on assistant.message_history
for each row execute function assistant.record_change();

alter table assistant.message_history enable row level security;

alter table assistant.message_history force row level security;

create policy message_history_seen on assistant.message_history
for select
using (
  tenant_id = (select nullif(current_setting('app.jwt_tenant', true), ''))
  and deleted_at is null
);

create policy message_history_entered on assistant.message_history
for insert
with check (tenant_id = (select nullif(current_setting('app.jwt_tenant', true), '')));

create policy message_history_changed on assistant.message_history
for update
using (
  tenant_id = (select nullif(current_setting('app.jwt_tenant', true), ''))
  and deleted_at is null
)
with check (tenant_id = (select nullif(current_setting('app.jwt_tenant', true), '')));

create policy message_history_kept on assistant.message_history
to assistant_keeper
using (true)
with check (true);

grant select on assistant.message_history to assistant_app;

grant insert (
  conversation_id,
  message_id,
  user_message,
  bot_response,
  intent_detected,
  entities_extracted,
  confidence_score,
  processing_time_ms
) on assistant.message_history to assistant_app;

grant update (
  conversation_id,
  message_id,
  user_message,
  bot_response,
  intent_detected,
  entities_extracted,
  confidence_score,
  processing_time_ms,
  updated_at
) on assistant.message_history to assistant_app;

grant select, update (deleted_at), delete on assistant.message_history to assistant_keeper;
