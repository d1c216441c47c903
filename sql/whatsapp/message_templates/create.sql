-- Create a template.
--
-- A second template with the same name and language is refused (unique violation); ``save`` accepts
-- it.
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
