-- List the secrets that the tenant can read.
-- returns: many Secret
select
  s.tenant,
  s.id
from soak.secrets as s
where s.id >= :first
order by
  s.tenant,
  s.id
limit 100
