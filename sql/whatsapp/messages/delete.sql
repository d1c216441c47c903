-- Delete a message.
-- returns: count
delete from whatsapp.messages as m
where
  m.tenant_id = (select whatsapp.current_tenant())
  and m.id = :id
