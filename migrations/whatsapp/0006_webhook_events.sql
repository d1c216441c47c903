-- What WhatsApp has told us, until it is worked off.
-- Lock: none on existing tables. Time: milliseconds.
-- Undone by 0006_webhook_events.rollback.sql, which loses all events.
--
-- WhatsApp delivers an event again where it has not heard an answer in time, and it is the same to
-- the letter: the digest of its content tells the second from another event.
--
-- convert_to is not immutable in general, because conversions can be replaced; into UTF8 it is.
create function whatsapp.payload_digest(payload jsonb) returns bytea
language sql
immutable
strict
parallel safe
return sha256(convert_to(payload::text, 'UTF8'));

comment on function whatsapp.payload_digest(jsonb) is
'SHA-256 of a payload, whatever the order of its keys. plainsql: reads nothing; writes nothing';

revoke all on function whatsapp.payload_digest(jsonb) from public;

grant execute on function whatsapp.payload_digest(jsonb) to whatsapp_app;

create table whatsapp.webhook_events (
  tenant_id uuid default whatsapp.current_tenant(),
  id uuid default gen_random_uuid(),
  event_type varchar(100) not null,
  payload jsonb not null,
  digest bytea not null generated always as (whatsapp.payload_digest(payload)) stored,
  processed boolean not null default false,
  error_message text,
  retry_count integer not null default 0,
  next_attempt_at timestamptz default clock_timestamp(),
  processed_at timestamptz,
  created_at timestamptz not null default clock_timestamp(),
  updated_at timestamptz not null default clock_timestamp(),
  constraint webhook_events_pkey primary key (tenant_id, id),
  constraint webhook_events_digest_key unique (tenant_id, digest, event_type),
  constraint webhook_events_event_type_not_empty check (event_type <> ''),
  constraint webhook_events_retry_count_not_negative check (retry_count >= 0),
  constraint webhook_events_processed_has_time check (processed = (processed_at is not null)),
  constraint webhook_events_next_attempt_is_of_unprocessed
  check (next_attempt_at is null or not processed)
);

comment on table whatsapp.webhook_events is 'What WhatsApp has told us, until it is worked off';
comment on column whatsapp.webhook_events.digest is
'SHA-256 of the payload: the same event delivered again is not stored again';
comment on column whatsapp.webhook_events.retry_count is 'How often it was tried in vain';
comment on column whatsapp.webhook_events.next_attempt_at is
'When a worker may take it; null where it is processed, or given up';
comment on column whatsapp.webhook_events.error_message is 'Why it was in vain last';

create index webhook_events_created_at_idx on whatsapp.webhook_events (tenant_id, created_at, id);

-- The few of a rare type among the many of the others.
create index webhook_events_event_type_idx
on whatsapp.webhook_events (tenant_id, event_type, created_at, id);

-- The queue of what is to be worked off: small, whatever the size of the table.
create index webhook_events_next_attempt_at_idx
on whatsapp.webhook_events (tenant_id, next_attempt_at, id)
where next_attempt_at is not null;

-- What can be purged.
create index webhook_events_processed_at_idx
on whatsapp.webhook_events (tenant_id, processed_at, id)
where processed_at is not null;

create trigger webhook_events_set_updated_at
before update on whatsapp.webhook_events
for each row execute function whatsapp.set_updated_at();

alter table whatsapp.webhook_events enable row level security;

alter table whatsapp.webhook_events force row level security;

create policy webhook_events_of_tenant on whatsapp.webhook_events
using (tenant_id = (select nullif(current_setting('app.jwt_tenant', true), '')::uuid))
with check (tenant_id = (select nullif(current_setting('app.jwt_tenant', true), '')::uuid));

grant select, insert, delete on whatsapp.webhook_events to whatsapp_app;

grant update (
  processed,
  error_message,
  retry_count,
  next_attempt_at,
  processed_at,
  updated_at
) on whatsapp.webhook_events to whatsapp_app;
