-- Create the media file of a webhook, or update it with the given values; null leaves a value as it
-- is.
--
-- Any number of calls can race.
-- returns: one MediaFile
-- param file_name: = null
-- param file_size: = null
-- param storage_url: = null
insert into whatsapp.media_files as f (
  whatsapp_media_id,
  file_name,
  file_type,
  file_size,
  storage_url
)
values (
  :whatsapp_media_id,
  :file_name,
  :file_type,
  :file_size,
  :storage_url
)
on conflict (tenant_id, whatsapp_media_id) do update
  set
    file_name = coalesce(excluded.file_name, f.file_name),
    file_type = excluded.file_type,
    file_size = coalesce(excluded.file_size, f.file_size),
    storage_url = coalesce(excluded.storage_url, f.storage_url)
returning
  f.id,
  f.tenant_id,
  f.whatsapp_media_id,
  f.file_name,
  f.file_type,
  f.file_size,
  f.storage_url,
  f.created_at,
  f.updated_at
