-- List contacts, newest first.
--
-- For the next page, pass the last row's ``created_at`` and ``id``.
-- returns: many Contact
-- param limit: 1..200 = 50
select
  c.id,
  c.tenant_id,
  c.phone_number,
  c.display_name,
  c.profile_pic_url,
  c.last_seen,
  c.is_blocked,
  c.created_at,
  c.updated_at
from whatsapp.contacts as c
where
  c.tenant_id = (select whatsapp.current_tenant())
  and (c.created_at, c.id) < (:after_created_at, :after_id)  --?
order by c.created_at desc, c.id desc
limit :limit
