-- Count the templates, since a time if given.
-- returns: value
select count(*) as total
from whatsapp.message_templates as t
where
  t.tenant_id = (select whatsapp.current_tenant())
  and t.created_at >= :since  --?
