-- What was said, and the queue of what the bot has still to look at.
-- Lock: share row exclusive on marketplace.conversations and marketplace.buyers for the foreign
-- keys: writers wait, readers do not.
-- Time: milliseconds, the new table is empty.
-- Undone by 0005_messages.rollback.sql, which loses all messages.
--
-- created_at is the clock's time and not the transaction's: a question and its answer, written in
-- one transaction, must keep their order.
create table marketplace.messages (
  id bigint generated always as identity,
  wallapop_message_id text,
  conversation_id bigint not null,
  buyer_id bigint,
  content text not null,
  message_type marketplace.message_type not null default 'USER_MESSAGE',
  intent text,
  entities jsonb,
  sentiment text,
  is_read boolean not null default false,
  is_processed boolean not null default false,
  claimed_until timestamptz,
  claims integer not null default 0,
  created_at timestamptz not null default clock_timestamp(),
  updated_at timestamptz not null default now(),
  constraint messages_pkey primary key (id),
  constraint messages_wallapop_message_id_key unique (wallapop_message_id),
  constraint messages_conversation_id_fkey
  foreign key (conversation_id) references marketplace.conversations (id) on delete cascade,
  constraint messages_buyer_id_fkey
  foreign key (buyer_id) references marketplace.buyers (id) on delete cascade,
  constraint messages_wallapop_message_id_not_empty check (wallapop_message_id <> ''),
  constraint messages_claims_not_negative check (claims >= 0)
);

comment on table marketplace.messages is 'What was said, in the order of created_at';
comment on column marketplace.messages.wallapop_message_id is
'The platform''s own id, by which a message that is delivered twice is known; null for our own';
comment on column marketplace.messages.buyer_id is 'Who wrote it; null where it was the bot';
comment on column marketplace.messages.sentiment is 'As the classifier names it: "negative"';
comment on column marketplace.messages.claimed_until is
'Until when a worker has it; then it is free again, should the worker have died';
comment on column marketplace.messages.claims is 'How many times a worker has taken it up';

-- Serves the foreign key, the history and the recent messages.
create index idx_message_conversation_created
on marketplace.messages (conversation_id, created_at, id);

create index messages_created_at_idx on marketplace.messages (created_at, id);

-- Serves the foreign key.
create index messages_buyer_id_idx on marketplace.messages (buyer_id) where buyer_id is not null;

-- The queue, oldest first: a few rows of millions.
create index messages_unprocessed_idx
on marketplace.messages (created_at, id)
where not is_processed;

-- What nobody has read in a conversation: few rows as well.
create index messages_unread_idx
on marketplace.messages (conversation_id, created_at, id)
where not is_read;

create trigger messages_set_updated_at
before update on marketplace.messages
for each row when (old.* is distinct from new.*) execute function marketplace.set_updated_at();
