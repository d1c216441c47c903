-- Count the users.
--
-- Filters, each if given: a start time, whether they are active, and a language.
-- returns: value
select count(*) as total
from assistant.users as u
where
  u.tenant_id = (select assistant.current_tenant())
  and u.is_active = :is_active          --?
  and u.language_code = :language_code  --?
  and u.created_at >= :since            --?
