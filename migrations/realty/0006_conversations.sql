-- The conversations with leads, and their messages.
-- Lock: share row exclusive on realty.leads and realty.projects for the foreign keys: writers wait,
-- readers do not.
-- Time: milliseconds, the new tables are empty.
-- Undone by 0006_conversations.rollback.sql, which loses all conversations and messages.
create table realty.conversations (
  id uuid default gen_random_uuid(),
  lead_id uuid not null,
  most_recent_project_id uuid,
  last_message_at timestamptz not null default now(),
  is_answered_by_lead boolean not null default false,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint conversations_pkey primary key (id),
  -- What an appointment refers to: the conversation and its lead cannot part.
  constraint conversations_id_lead_id_key unique (id, lead_id),
  constraint conversations_lead_id_fkey
  foreign key (lead_id) references realty.leads (id) on delete cascade,
  constraint conversations_most_recent_project_id_fkey
  foreign key (most_recent_project_id) references realty.projects (id) on delete set null
);

comment on table realty.conversations is 'What a lead and the assistant talk about';
comment on column realty.conversations.most_recent_project_id is
'The project the talk was last about';
comment on column realty.conversations.last_message_at is
'When the last message was written; at first, when the talk began';
comment on column realty.conversations.is_answered_by_lead is
'Whether the last word is the lead''s';

create index conversations_created_at_idx on realty.conversations (created_at, id);

-- Serves the foreign key, and the conversation a lead is in.
create index conversations_lead_id_idx on realty.conversations (lead_id, last_message_at, id);

create index conversations_most_recent_project_id_idx
on realty.conversations (most_recent_project_id)
where most_recent_project_id is not null;

-- Those in which the lead owes an answer, the longest-waiting first.
create index conversations_stale_idx
on realty.conversations (last_message_at, id)
where not is_answered_by_lead;

create trigger conversations_set_updated_at
before update on realty.conversations
for each row execute function realty.set_updated_at();

create type realty.message_type as enum ('human', 'ai-assistant');

-- created_at is the clock's time and not the transaction's: a question and its answer, written in
-- one transaction, must keep their order.
create table realty.messages (
  id uuid default gen_random_uuid(),
  conversation_id uuid not null,
  type realty.message_type not null,
  content text not null,
  created_at timestamptz not null default clock_timestamp(),
  constraint messages_pkey primary key (id),
  constraint messages_conversation_id_fkey
  foreign key (conversation_id) references realty.conversations (id) on delete cascade
);

comment on table realty.messages is 'What was said, in the order of created_at';
comment on column realty.messages.type is 'Who said it';

create index messages_created_at_idx on realty.messages (created_at, id);

-- Serves the foreign key, the history and the recent messages.
create index messages_conversation_id_idx on realty.messages (conversation_id, created_at, id);
