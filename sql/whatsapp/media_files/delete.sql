-- Delete a media file; its messages stay, without the file, and so does the object at
-- ``storage_url``.
-- returns: count
delete from whatsapp.media_files as f
where
  f.tenant_id = (select whatsapp.current_tenant())
  and f.id = :id
