-- The WhatsApp numbers that tenants write from.
-- Lock: none on existing tables. Time: milliseconds.
-- Undone by 0002_channels.rollback.sql, which loses all channels with their access tokens.
--
-- As in all tables of this layer: every key begins with tenant_id, so that no tenant's row can
-- stand in another's way, and whose row it is comes from the setting that the policy reads. The
-- setting stands in a scalar sub-select: it is read once for a statement and not for every row.
create table whatsapp.channels (
  tenant_id uuid default whatsapp.current_tenant(),
  id uuid default gen_random_uuid(),
  organization_id uuid not null,
  phone_number_id text not null,
  business_account_id text not null,
  display_phone_number text,
  display_name text,
  status text not null default 'pending',
  is_verified boolean not null default false,
  messages_per_second smallint not null default 80,
  access_token bytea not null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint channels_pkey primary key (tenant_id, id),
  constraint channels_phone_number_id_key unique (tenant_id, phone_number_id),
  constraint channels_phone_number_id_not_empty check (phone_number_id <> ''),
  constraint channels_business_account_id_not_empty check (business_account_id <> ''),
  constraint channels_status_known check (status in ('pending', 'active', 'suspended')),
  constraint channels_messages_per_second_known check (messages_per_second in (80, 250)),
  constraint channels_access_token_not_empty check (octet_length(access_token) > 0)
);

comment on table whatsapp.channels is 'The WhatsApp numbers that a tenant writes from';
comment on column whatsapp.channels.organization_id is
'Whose number it is, among the organizations of a tenant';
comment on column whatsapp.channels.phone_number_id is
'The number''s id at WhatsApp, which its webhooks carry; not the number itself';
comment on column whatsapp.channels.business_account_id is 'The WhatsApp Business account''s id';
comment on column whatsapp.channels.status is
'pending until it is verified; suspended sends nothing';
comment on column whatsapp.channels.is_verified is 'Whether WhatsApp has verified the number';
comment on column whatsapp.channels.messages_per_second is
'What WhatsApp lets this number send: 80, or 250 where it was raised';
comment on column whatsapp.channels.access_token is
'Encrypted, bound to this tenant and id: a copy in another row cannot be read';

-- Serves the list, newest first.
create index channels_created_at_idx on whatsapp.channels (tenant_id, created_at, id);

create index channels_organization_id_idx
on whatsapp.channels (tenant_id, organization_id, created_at, id);

create trigger channels_set_updated_at
before update on whatsapp.channels
for each row execute function whatsapp.set_updated_at();

alter table whatsapp.channels enable row level security;

alter table whatsapp.channels force row level security;

create policy channels_of_tenant on whatsapp.channels
using (tenant_id = (select nullif(current_setting('app.jwt_tenant', true), '')::uuid))
with check (tenant_id = (select nullif(current_setting('app.jwt_tenant', true), '')::uuid));

-- What a row is and whose it is never changes.
grant select, insert, delete on whatsapp.channels to whatsapp_app;

grant update (
  organization_id,
  phone_number_id,
  business_account_id,
  display_phone_number,
  display_name,
  status,
  is_verified,
  messages_per_second,
  access_token,
  updated_at
) on whatsapp.channels to whatsapp_app;
