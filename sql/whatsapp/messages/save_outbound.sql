-- Keep a message that is to be sent, once for each idempotency key: whoever comes again gets the
-- first one, whatever has become of it.
--
-- Safe when several calls race, and exactly one row in every case: see
-- realty.leads.get_or_create_from_telegram, which has the same three ways out. Whoever gives the id
-- can tell from the row which one it was.
--
-- Its sender has lease_s seconds to report by update_status. After that claim_failed_for_retry
-- takes the message: a sender that died leaves none behind.
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
