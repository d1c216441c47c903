-- The extensions, with the schema of each and its version.
select
  format('extension %I', e.extname) as object,
  format('schema %I, version %s', n.nspname, e.extversion) as definition
from pg_extension as e
inner join pg_namespace as n on e.extnamespace = n.oid
where e.extname <> 'plpgsql'
