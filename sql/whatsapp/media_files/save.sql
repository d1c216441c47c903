-- The file that a webhook names: entered now, or with what is given changed. What is null leaves
-- what we know. Safe when several calls race.
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
