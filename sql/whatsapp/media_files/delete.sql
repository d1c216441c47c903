-- Remove a file. The messages stay, and do not name it any more; what is at storage_url stays too.
-- returns: count
delete from whatsapp.media_files as f
where
  f.tenant_id = (select whatsapp.current_tenant())
  and f.id = :id
