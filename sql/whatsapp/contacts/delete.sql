-- Remove a contact. The messages stay, and do not name it any more.
-- returns: count
delete from whatsapp.contacts as c
where
  c.tenant_id = (select whatsapp.current_tenant())
  and c.id = :id
