-- Extended statistics.
select
  format('statistics %I.%I', n.nspname, s.stxname) as object,
  pg_get_statisticsobjdef(s.oid) as definition
from pg_statistic_ext as s
inner join pg_namespace as n on s.stxnamespace = n.oid
