-- Mark a channel as verified by WhatsApp.
--
-- A pending channel becomes active; a suspended one stays suspended until ``resume``.
-- returns: optional Channel
update whatsapp.channels as c
set
  is_verified = true,
  status = case c.status when 'pending' then 'active' else c.status end
where
  c.tenant_id = (select whatsapp.current_tenant())
  and c.id = :id
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
