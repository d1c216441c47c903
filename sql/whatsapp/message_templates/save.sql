-- Create the template with this name and language, or replace it.
--
-- Any number of calls can race.
-- returns: one MessageTemplate
-- param status: = 'pending'
insert into whatsapp.message_templates as t (
  name,
  language,
  category,
  body,
  status
)
values (
  :name,
  :language,
  :category,
  :body,
  :status
)
on conflict (tenant_id, name, language) do update
  set
    category = excluded.category,
    body = excluded.body,
    status = excluded.status
returning
  t.id,
  t.tenant_id,
  t.name,
  t.language,
  t.category,
  t.body,
  t.status,
  t.created_at,
  t.updated_at
