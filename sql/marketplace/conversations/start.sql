-- Return the conversation of this chat on the platform; start and count it if there is none.
--
-- No row is returned for a new conversation of a buyer who is blocked or unknown. An unknown
-- product is refused (foreign key violation).
--
-- Calls can race, and never make two rows.
--
-- Implementation: a known conversation, the usual case, is only read. If another call has started
-- the same one since this statement began, "known" cannot see its row: "do update" waits for that
-- call and returns its row. xmax is 0 in a row that was inserted, and only such a row is counted
-- for the buyer.
-- returns: optional Conversation
-- allow: unproved-one: the two arms exclude each other, see above
with
known as (
  select
    -- begin fragment conversation_columns
    c.id,
    c.wallapop_chat_id,
    c.product_id,
    c.buyer_id,
    c.status,
    c.message_count,
    c.last_message_at,
    c.negotiated_price,
    c.meeting_location,
    c.meeting_time,
    c.intent_detected,
    c.sentiment_score,
    c.completed_at,
    c.created_at,
    c.updated_at
    -- end fragment conversation_columns
  from marketplace.conversations as c
  where c.wallapop_chat_id = :wallapop_chat_id
),

entered as (
  insert into marketplace.conversations as c (wallapop_chat_id, product_id, buyer_id)
  select
    :wallapop_chat_id as wallapop_chat_id,
    :product_id as product_id,
    b.id as buyer_id
  from marketplace.buyers as b
  where
    b.id = :buyer_id
    and not b.is_blocked
    and not exists (select 1 from known)
  on conflict (wallapop_chat_id) do update
    set wallapop_chat_id = excluded.wallapop_chat_id
  returning
    c.id,
    c.wallapop_chat_id,
    c.product_id,
    c.buyer_id,
    c.status,
    c.message_count,
    c.last_message_at,
    c.negotiated_price,
    c.meeting_location,
    c.meeting_time,
    c.intent_detected,
    c.sentiment_score,
    c.completed_at,
    c.created_at,
    c.updated_at,
    c.xmax = 0 as is_new
),

counted as (
  update marketplace.buyers as b
  set total_conversations = b.total_conversations + 1
  from entered as e
  where
    b.id = e.buyer_id
    and e.is_new
)

select k.*
from known as k
union all
select
  e.id,
  e.wallapop_chat_id,
  e.product_id,
  e.buyer_id,
  e.status,
  e.message_count,
  e.last_message_at,
  e.negotiated_price,
  e.meeting_location,
  e.meeting_time,
  e.intent_detected,
  e.sentiment_score,
  e.completed_at,
  e.created_at,
  e.updated_at
from entered as e
