-- List users, newest first.
--
-- Filters, each if given: whether they are active, and a language.
-- For the next page, pass the last row's ``created_at`` and ``id``.
-- returns: many User
-- param limit: 1..200 = 50
select
  u.id,
  u.tenant_id,
  u.telegram_id,
  u.username,
  u.first_name,
  u.last_name,
  u.language_code,
  u.timezone,
  u.is_active,
  u.preferences,
  u.created_at,
  u.created_by,
  u.updated_at,
  u.updated_by
from assistant.users as u
where
  u.tenant_id = (select assistant.current_tenant())
  and u.is_active = :is_active                               --?
  and u.language_code = :language_code                       --?
  and (u.created_at, u.id) < (:after_created_at, :after_id)  --?
order by u.created_at desc, u.id desc
limit :limit
