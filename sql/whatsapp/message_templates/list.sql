-- List templates, newest first, of one status if given.
--
-- For the next page, pass the last row's ``created_at`` and ``id``.
-- returns: many MessageTemplate
-- param limit: 1..200 = 50
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
  and t.status = :status                                     --?
  and (t.created_at, t.id) < (:after_created_at, :after_id)  --?
order by t.created_at desc, t.id desc
limit :limit
