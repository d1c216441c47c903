-- Block a contact: ``send_message`` refuses to write to them.
-- returns: optional Contact
update whatsapp.contacts as c
set is_blocked = true
where
  c.tenant_id = (select whatsapp.current_tenant())
  and c.id = :id
returning
  c.id,
  c.tenant_id,
  c.phone_number,
  c.display_name,
  c.profile_pic_url,
  c.last_seen,
  c.is_blocked,
  c.created_at,
  c.updated_at
