-- Resume a suspended channel: it is active if it is verified, pending otherwise.
--
-- No row is returned if it is not suspended.
-- returns: optional Channel
update whatsapp.channels as c
set status = case when c.is_verified then 'active' else 'pending' end
where
  c.tenant_id = (select whatsapp.current_tenant())
  and c.id = :id
  and c.status = 'suspended'
returning
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
