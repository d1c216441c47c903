-- Operators, casts and collations that no extension brought.
select
  format('operator %s', o.oid::regoperator) as object,
  format(
    'calls %s, commutator %s, negator %s, restrict %s, join %s',
    o.oprcode,
    nullif(o.oprcom, 0)::regoperator,
    nullif(o.oprnegate, 0)::regoperator,
    o.oprrest,
    o.oprjoin
  ) as definition
from pg_operator as o
inner join pg_namespace as n on o.oprnamespace = n.oid
where
  n.nspname !~ '^pg_'
  and not exists (
    select 1
    from pg_depend as d
    where d.classid = 'pg_operator'::regclass and d.objid = o.oid and d.deptype = 'e'
  )
union all
select
  format('cast %s as %s', format_type(c.castsource, null), format_type(c.casttarget, null))
    as object,
  format(
    'method %s, context %s, function %s',
    c.castmethod,
    c.castcontext,
    nullif(c.castfunc, 0)::regprocedure
  ) as definition
from pg_cast as c
where
  c.oid >= 16384
  and not exists (
    select 1
    from pg_depend as d
    where d.classid = 'pg_cast'::regclass and d.objid = c.oid and d.deptype in ('e', 'i')
  )
union all
select
  format('collation %I.%I', n.nspname, c.collname) as object,
  concat_ws(
    e'\n',
    'provider ' || c.collprovider::text,
    case when not c.collisdeterministic then 'not deterministic' end,
    'collate ' || c.collcollate,
    'ctype ' || c.collctype
  ) as definition
from pg_collation as c
inner join pg_namespace as n on c.collnamespace = n.oid
where n.nspname !~ '^pg_'
