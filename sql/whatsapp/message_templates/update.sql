-- Change the given columns of a template, and leave the others.
-- returns: optional MessageTemplate
update whatsapp.message_templates as t
set
  name = :name,          --?
  language = :language,  --?
  category = :category,  --?
  body = :body,          --?
  status = :status,      --?
  updated_at = now()
where
  t.tenant_id = (select whatsapp.current_tenant())
  and t.id = :id
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
