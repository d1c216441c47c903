-- List the channels that can send, verified and active, newest first, of one organization if given.
--
-- For the next page, pass the last row's ``created_at`` and ``id``.
-- returns: many Channel
-- param limit: 1..200 = 50
select
  c.id,
  c.tenant_id,
  c.organization_id,
  c.phone_number_id,
  c.business_account_id,
  c.display_phone_number,
  c.display_name,
  c.status,
  c.is_verified,
  c.messages_per_second,
  c.created_at,
  c.updated_at
from whatsapp.channels as c
where
  c.tenant_id = (select whatsapp.current_tenant())
  and c.is_verified
  and c.status = 'active'
  and c.organization_id = :organization_id                   --?
  and (c.created_at, c.id) < (:after_created_at, :after_id)  --?
order by c.created_at desc, c.id desc
limit :limit
