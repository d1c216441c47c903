-- Delete a channel.
--
-- A channel with messages is refused (foreign key violation): use ``suspend`` instead.
-- returns: count
delete from whatsapp.channels as c
where
  c.tenant_id = (select whatsapp.current_tenant())
  and c.id = :id
