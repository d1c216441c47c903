-- Delete a template.
-- returns: count
delete from whatsapp.message_templates as t
where
  t.tenant_id = (select whatsapp.current_tenant())
  and t.id = :id
