-- Remove a channel. One with messages is refused (foreign key violation): suspend it.
-- returns: count
delete from whatsapp.channels as c
where
  c.tenant_id = (select whatsapp.current_tenant())
  and c.id = :id
