-- Privileges that new objects will get.
select
  format(
    'default privileges of %s in %s on %s',
    d.defaclrole::regrole,
    coalesce(n.nspname, 'all schemas'),
    d.defaclobjtype
  ) as object,
  'grants ' || d.defaclacl::text as definition
from pg_default_acl as d
left join pg_namespace as n on d.defaclnamespace = n.oid
