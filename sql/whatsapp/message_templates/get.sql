-- The template with this name in this language.
-- returns: optional MessageTemplate
-- cache: 5m
select
  t.id,
  t.tenant_id,
  t.name,
  t.language,
  t.category,
  t.body,
  t.status,
  t.created_at,
  t.updated_at
from whatsapp.message_templates as t
where
  t.tenant_id = (select whatsapp.current_tenant())
  and t.name = :name
  and t.language = :language
