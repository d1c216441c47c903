-- The texts that WhatsApp has approved for beginning a talk.
-- Lock: none on existing tables. Time: milliseconds.
-- Undone by 0005_message_templates.rollback.sql, which loses all templates.
create table whatsapp.message_templates (
  tenant_id uuid default whatsapp.current_tenant(),
  id uuid default gen_random_uuid(),
  name text not null,
  language text not null,
  category text not null,
  body text not null,
  status text not null default 'pending',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint message_templates_pkey primary key (tenant_id, id),
  constraint message_templates_name_language_key unique (tenant_id, name, language),
  constraint message_templates_name_not_empty check (name <> ''),
  constraint message_templates_language_not_empty check (language <> ''),
  constraint message_templates_category_known
  check (category in ('marketing', 'utility', 'authentication')),
  constraint message_templates_status_known
  check (status in ('pending', 'approved', 'rejected', 'paused', 'disabled'))
);

comment on table whatsapp.message_templates is
'The texts that WhatsApp has approved, or is asked to, for beginning a talk';
comment on column whatsapp.message_templates.language is 'As WhatsApp writes it: es, en_US';
comment on column whatsapp.message_templates.body is 'With its placeholders: "Hola {{1}}"';
comment on column whatsapp.message_templates.status is
'What WhatsApp says; only approved can be sent';

create index message_templates_created_at_idx
on whatsapp.message_templates (tenant_id, created_at, id);

create trigger message_templates_set_updated_at
before update on whatsapp.message_templates
for each row execute function whatsapp.set_updated_at();

alter table whatsapp.message_templates enable row level security;

alter table whatsapp.message_templates force row level security;

create policy message_templates_of_tenant on whatsapp.message_templates
using (tenant_id = (select nullif(current_setting('app.jwt_tenant', true), '')::uuid))
with check (tenant_id = (select nullif(current_setting('app.jwt_tenant', true), '')::uuid));

grant select, insert, delete on whatsapp.message_templates to whatsapp_app;

grant update (
  name,
  language,
  category,
  body,
  status,
  updated_at
) on whatsapp.message_templates to whatsapp_app;
