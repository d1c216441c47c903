-- What was written and received, and the files that came along.
-- Lock: share row exclusive on whatsapp.channels and whatsapp.contacts for the foreign keys:
-- writers to them wait, readers do not.
-- Time: milliseconds, the new tables are empty.
-- Undone by 0004_messages.rollback.sql, which loses all messages and media files.
create table whatsapp.media_files (
  tenant_id uuid default whatsapp.current_tenant(),
  id uuid default gen_random_uuid(),
  whatsapp_media_id varchar(255),
  file_name varchar(255),
  file_type varchar(50) not null,
  file_size bigint,
  storage_url text,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint media_files_pkey primary key (tenant_id, id),
  constraint media_files_whatsapp_media_id_key unique (tenant_id, whatsapp_media_id),
  constraint media_files_whatsapp_media_id_not_empty check (whatsapp_media_id <> ''),
  constraint media_files_file_type_not_empty check (file_type <> ''),
  constraint media_files_file_size_not_negative check (file_size >= 0)
);

comment on table whatsapp.media_files is 'The pictures, recordings and documents in messages';
comment on column whatsapp.media_files.whatsapp_media_id is
'Its id at WhatsApp; null until it is uploaded there';
comment on column whatsapp.media_files.file_type is 'A media type: image/jpeg';
comment on column whatsapp.media_files.file_size is 'Bytes';
comment on column whatsapp.media_files.storage_url is
'Where our copy is: WhatsApp keeps its own for 30 days';

create index media_files_created_at_idx on whatsapp.media_files (tenant_id, created_at, id);

create trigger media_files_set_updated_at
before update on whatsapp.media_files
for each row execute function whatsapp.set_updated_at();

alter table whatsapp.media_files enable row level security;

alter table whatsapp.media_files force row level security;

create policy media_files_of_tenant on whatsapp.media_files
using (tenant_id = (select nullif(current_setting('app.jwt_tenant', true), '')::uuid))
with check (tenant_id = (select nullif(current_setting('app.jwt_tenant', true), '')::uuid));

grant select, insert, delete on whatsapp.media_files to whatsapp_app;

grant update (
  whatsapp_media_id,
  file_name,
  file_type,
  file_size,
  storage_url,
  updated_at
) on whatsapp.media_files to whatsapp_app;

-- created_at is the clock's time and not the transaction's: a question and its answer, written in
-- one transaction, must keep their order.
--
-- The foreign keys begin with tenant_id: a message cannot name another tenant's channel, contact or
-- file. What is deleted is forgotten in the other column only; a tenant is never.
--
-- The room left in each page (fillfactor) is for the three updates that most messages get: sent,
-- delivered and read move no indexed column once next_attempt_at is null.
create table whatsapp.messages (
  tenant_id uuid default whatsapp.current_tenant(),
  id uuid default gen_random_uuid(),
  channel_id uuid not null,
  contact_id uuid,
  whatsapp_msg_id varchar(255),
  phone_number varchar(20) not null,
  message_type varchar(50) not null default 'text',
  content text,
  status text not null,
  direction text not null,
  media_id uuid,
  idempotency_key bytea,
  retry_count integer not null default 0,
  next_attempt_at timestamptz,
  error_message text,
  sent_at timestamptz,
  delivered_at timestamptz,
  read_at timestamptz,
  created_at timestamptz not null default clock_timestamp(),
  updated_at timestamptz not null default clock_timestamp(),
  constraint messages_pkey primary key (tenant_id, id),
  constraint messages_whatsapp_msg_id_key unique (tenant_id, whatsapp_msg_id),
  constraint messages_idempotency_key_key unique (tenant_id, idempotency_key),
  constraint messages_channel_id_fkey
  foreign key (tenant_id, channel_id) references whatsapp.channels (tenant_id, id),
  constraint messages_contact_id_fkey
  foreign key (tenant_id, contact_id) references whatsapp.contacts (tenant_id, id)
  on delete set null (contact_id),
  constraint messages_media_id_fkey
  foreign key (tenant_id, media_id) references whatsapp.media_files (tenant_id, id)
  on delete set null (media_id),
  constraint messages_whatsapp_msg_id_not_empty check (whatsapp_msg_id <> ''),
  constraint messages_phone_number_not_empty check (phone_number <> ''),
  constraint messages_message_type_not_empty check (message_type <> ''),
  constraint messages_status_known
  check (status in ('queued', 'sent', 'delivered', 'read', 'failed', 'received')),
  constraint messages_direction_known check (direction in ('inbound', 'outbound')),
  constraint messages_received_is_inbound
  check ((status = 'received') = (direction = 'inbound')),
  constraint messages_inbound_has_whatsapp_msg_id
  check (direction = 'outbound' or whatsapp_msg_id is not null),
  constraint messages_idempotency_key_length check (octet_length(idempotency_key) between 1 and 64),
  constraint messages_retry_count_not_negative check (retry_count >= 0),
  constraint messages_next_attempt_is_of_unsent
  check (next_attempt_at is null or status in ('queued', 'failed'))
) with (fillfactor = 85);

comment on table whatsapp.messages is 'What was written and received, in the order of created_at';
comment on column whatsapp.messages.whatsapp_msg_id is
'Its id at WhatsApp (wamid), which its status webhooks carry; null until it is sent';
comment on column whatsapp.messages.phone_number is 'The other side''s number, as in contacts';
comment on column whatsapp.messages.message_type is
'As WhatsApp calls it: text, image, audio, document, template, interactive';
comment on column whatsapp.messages.content is 'The text, or the caption of a file';
comment on column whatsapp.messages.status is
'Outbound: queued, sent, delivered, read, and failed before delivered; inbound: received';
comment on column whatsapp.messages.idempotency_key is
'Whoever saves an outbound message again under its key gets the first one';
comment on column whatsapp.messages.retry_count is 'How often it was claimed to be sent again';
comment on column whatsapp.messages.next_attempt_at is
'When a worker may take it: after a failure, or where its sender is not heard of again';
comment on column whatsapp.messages.error_message is 'Why it failed last';

create index messages_created_at_idx on whatsapp.messages (tenant_id, created_at, id);

-- Serves the history with a number.
create index messages_phone_number_idx
on whatsapp.messages (tenant_id, phone_number, created_at, id);

-- Serves the foreign key and the list of a channel.
create index messages_channel_id_idx on whatsapp.messages (tenant_id, channel_id, created_at, id);

create index messages_contact_id_idx
on whatsapp.messages (tenant_id, contact_id)
where contact_id is not null;

create index messages_media_id_idx
on whatsapp.messages (tenant_id, media_id)
where media_id is not null;

-- The queue of what is to be sent again: small, whatever the size of the table.
create index messages_next_attempt_at_idx
on whatsapp.messages (tenant_id, next_attempt_at, id)
where next_attempt_at is not null;

create trigger messages_set_updated_at
before update on whatsapp.messages
for each row execute function whatsapp.set_updated_at();

alter table whatsapp.messages enable row level security;

alter table whatsapp.messages force row level security;

create policy messages_of_tenant on whatsapp.messages
using (tenant_id = (select nullif(current_setting('app.jwt_tenant', true), '')::uuid))
with check (tenant_id = (select nullif(current_setting('app.jwt_tenant', true), '')::uuid));

grant select, insert, delete on whatsapp.messages to whatsapp_app;

grant update (
  contact_id,
  whatsapp_msg_id,
  content,
  status,
  media_id,
  retry_count,
  next_attempt_at,
  error_message,
  sent_at,
  delivered_at,
  read_at,
  updated_at
) on whatsapp.messages to whatsapp_app;
