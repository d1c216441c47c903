-- Save a message to send, once for each idempotency key.
--
-- A second call with the key returns the first message, in whatever state it is.
--
-- Any number of calls can race: each gets exactly one row. A caller that passes the id sees from
-- the row which message it got.
--
-- Its sender has ``lease_s`` seconds to report by ``update_status``. After that,
-- ``claim_failed_for_retry`` claims the message, so that a sender that died leaves none behind.
--
-- Implementation: see ``realty.leads.get_or_create_from_telegram``, which has the same three cases.
-- returns: one Message
-- allow: unproved-one: the two arms exclude each other
-- param id: = null
-- param contact_id: = null
-- param message_type: = 'text'
-- param content: = null
-- param media_id: = null
-- param idempotency_key: = null
-- param lease_s: 1..86400 = 900
with
known as (
  select
    m.id,
    m.tenant_id,
    m.channel_id,
    m.contact_id,
    m.whatsapp_msg_id,
    m.phone_number,
    m.message_type,
    m.content,
    m.status,
    m.direction,
    m.media_id,
    m.idempotency_key,
    m.retry_count,
    m.next_attempt_at,
    m.error_message,
    m.sent_at,
    m.delivered_at,
    m.read_at,
    m.created_at,
    m.updated_at
  from whatsapp.messages as m
  where
    m.tenant_id = (select whatsapp.current_tenant())
    and m.idempotency_key = :idempotency_key
),

entered as (
  insert into whatsapp.messages as m (
    id,
    channel_id,
    contact_id,
    phone_number,
    message_type,
    content,
    status,
    direction,
    media_id,
    idempotency_key,
    next_attempt_at
  )
  select
    coalesce(:id, gen_random_uuid()) as id,
    :channel_id as channel_id,
    :contact_id as contact_id,
    :phone_number as phone_number,
    :message_type as message_type,
    :content as content,
    'queued' as status,
    'outbound' as direction,
    :media_id as media_id,
    :idempotency_key as idempotency_key,
    now() + make_interval(secs => :lease_s::integer) as next_attempt_at
  where not exists (select 1 from known)
  on conflict (tenant_id, idempotency_key) do update
    set retry_count = m.retry_count
  returning
    m.id,
    m.tenant_id,
    m.channel_id,
    m.contact_id,
    m.whatsapp_msg_id,
    m.phone_number,
    m.message_type,
    m.content,
    m.status,
    m.direction,
    m.media_id,
    m.idempotency_key,
    m.retry_count,
    m.next_attempt_at,
    m.error_message,
    m.sent_at,
    m.delivered_at,
    m.read_at,
    m.created_at,
    m.updated_at
)

select k.*
from known as k
union all
select e.*
from entered as e
