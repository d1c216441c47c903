-- The people who write to tenants.
-- Lock: none on existing tables. Time: milliseconds.
-- Undone by 0003_contacts.rollback.sql, which loses all contacts.
--
-- The room left in each page (fillfactor) is for last_seen, which every message moves and no index
-- has.
create table whatsapp.contacts (
  tenant_id uuid default whatsapp.current_tenant(),
  id uuid default gen_random_uuid(),
  phone_number varchar(20) not null,
  display_name varchar(255),
  profile_pic_url text,
  last_seen timestamptz,
  is_blocked boolean not null default false,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint contacts_pkey primary key (tenant_id, id),
  constraint contacts_phone_number_key unique (tenant_id, phone_number),
  constraint contacts_phone_number_not_empty check (phone_number <> '')
) with (fillfactor = 90);

comment on table whatsapp.contacts is 'The people who write to a tenant';
comment on column whatsapp.contacts.phone_number is 'As WhatsApp writes it: digits, country first';
comment on column whatsapp.contacts.last_seen is 'When we last heard of them';
comment on column whatsapp.contacts.is_blocked is
'Whether the tenant wants nothing to do with them';

create index contacts_created_at_idx on whatsapp.contacts (tenant_id, created_at, id);

create trigger contacts_set_updated_at
before update on whatsapp.contacts
for each row execute function whatsapp.set_updated_at();

alter table whatsapp.contacts enable row level security;

alter table whatsapp.contacts force row level security;

create policy contacts_of_tenant on whatsapp.contacts
using (tenant_id = (select nullif(current_setting('app.jwt_tenant', true), '')::uuid))
with check (tenant_id = (select nullif(current_setting('app.jwt_tenant', true), '')::uuid));

grant select, insert, delete on whatsapp.contacts to whatsapp_app;

grant update (
  phone_number,
  display_name,
  profile_pic_url,
  last_seen,
  is_blocked,
  updated_at
) on whatsapp.contacts to whatsapp_app;
