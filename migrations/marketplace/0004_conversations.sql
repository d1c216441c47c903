-- The conversations with buyers, and the moves that a conversation's status can make.
-- Lock: share row exclusive on marketplace.products and marketplace.buyers for the foreign keys:
-- writers wait, readers do not.
-- Time: milliseconds, the new table is empty.
-- Undone by 0004_conversations.rollback.sql, which loses all conversations.
--
-- A product of which somebody has asked stays; a buyer can be removed, with what they said.
create table marketplace.conversations (
  id bigint generated always as identity,
  wallapop_chat_id text not null,
  product_id bigint not null,
  buyer_id bigint not null,
  status marketplace.conversation_status not null default 'ACTIVE',
  message_count integer not null default 0,
  last_message_at timestamptz,
  negotiated_price numeric(12, 2),
  meeting_location text,
  meeting_time timestamptz,
  intent_detected text,
  sentiment_score real,
  completed_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint conversations_pkey primary key (id),
  constraint conversations_wallapop_chat_id_key unique (wallapop_chat_id),
  constraint conversations_product_id_fkey
  foreign key (product_id) references marketplace.products (id),
  constraint conversations_buyer_id_fkey
  foreign key (buyer_id) references marketplace.buyers (id) on delete cascade,
  constraint conversations_wallapop_chat_id_not_empty check (wallapop_chat_id <> ''),
  constraint conversations_message_count_not_negative check (message_count >= 0),
  constraint conversations_negotiated_price_not_negative check (negotiated_price >= 0),
  constraint conversations_sentiment_score_range check (sentiment_score between -1 and 1),
  constraint conversations_completed_has_time
  check (status <> 'COMPLETED' or completed_at is not null)
);

comment on table marketplace.conversations is 'What a buyer and the bot talk about: one product';
comment on column marketplace.conversations.status is
'Moves by complete, cancel, reopen, cleanup and the blocking of the buyer';
comment on column marketplace.conversations.message_count is 'Kept by messages.append';
comment on column marketplace.conversations.last_message_at is
'When the last message was written: kept by messages.append';
comment on column marketplace.conversations.sentiment_score is '-1 (angry) to 1 (delighted)';
comment on column marketplace.conversations.completed_at is
'When the sale was agreed; stays when the conversation is archived';

-- The active ones, and those of any other status, by when they moved last.
create index idx_conversation_status_updated
on marketplace.conversations (status, updated_at, id);

create index conversations_created_at_idx on marketplace.conversations (created_at, id);

-- These serve the foreign keys, and the conversations of a buyer and about a product.
create index conversations_buyer_id_idx on marketplace.conversations (buyer_id, created_at, id);

create index conversations_product_id_idx on marketplace.conversations (product_id, created_at, id);

-- Those that are still to be archived, oldest first.
create index conversations_completed_at_idx
on marketplace.conversations (completed_at, id)
where status = 'COMPLETED';

create trigger conversations_set_updated_at
before update on marketplace.conversations
for each row when (old.* is distinct from new.*) execute function marketplace.set_updated_at();

-- As for products: it holds for psql as well.
create function marketplace.move_conversation() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  if tg_op = 'UPDATE' and not (case old.status
    when 'ACTIVE' then new.status in ('COMPLETED', 'CANCELLED', 'BLOCKED')
    when 'COMPLETED' then new.status = 'ARCHIVED'
    when 'CANCELLED' then new.status in ('ACTIVE', 'ARCHIVED')
    when 'BLOCKED' then new.status in ('ACTIVE', 'ARCHIVED')
    else false
  end) then
    raise exception 'conversation % is %, and cannot become %', old.id, old.status, new.status
      using
        errcode = 'check_violation',
        schema = 'marketplace',
        table = 'conversations',
        constraint = 'conversations_status_moves',
        hint = 'An ACTIVE conversation is COMPLETED, CANCELLED or BLOCKED; then ARCHIVED.';
  end if;

  if new.status = 'COMPLETED' then
    new.completed_at := coalesce(new.completed_at, now());
  end if;

  return new;
end
$$;

comment on function marketplace.move_conversation() is
'Refuses moves of the status that there are not, and keeps when a conversation was completed. '
'plainsql: writes nothing';

create trigger conversations_enter
before insert on marketplace.conversations
for each row execute function marketplace.move_conversation();

create trigger conversations_move
before update of status on marketplace.conversations
for each row when (old.status is distinct from new.status)
execute function marketplace.move_conversation();
