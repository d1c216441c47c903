-- Delete a contact; their messages stay, without the contact.
-- returns: count
delete from whatsapp.contacts as c
where
  c.tenant_id = (select whatsapp.current_tenant())
  and c.id = :id
