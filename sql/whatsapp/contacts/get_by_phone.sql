-- The contact with this number.
-- returns: optional Contact
-- cache: 5m
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
  and c.phone_number = :phone_number
