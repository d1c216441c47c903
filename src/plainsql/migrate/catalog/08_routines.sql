-- Functions, procedures and aggregates.
select
  format(
    '%s %s',
    case p.prokind when 'a' then 'aggregate' when 'p' then 'procedure' else 'function' end,
    p.oid::regprocedure
  ) as object,
  concat_ws(
    e'\n',
    'owner ' || p.proowner::regrole,
    case
      when p.prokind = 'a'
        then (
          select
            format(
              'transition %s, state %s, final %s, initial %L',
              a.aggtransfn,
              format_type(a.aggtranstype, null),
              a.aggfinalfn,
              a.agginitval
            )
          from pg_aggregate as a
          where a.aggfnoid = p.oid
        )
      else pg_get_functiondef(p.oid)
    end,
    (
      select 'grants ' || coalesce(string_agg(g::text, ' ' order by g::text), 'nothing')
      from unnest(coalesce(p.proacl, acldefault('f', p.proowner))) as g
    )
  ) as definition
from pg_proc as p
inner join pg_namespace as n on p.pronamespace = n.oid
where
  n.nspname !~ '^pg_'
  and n.nspname <> 'information_schema'
  -- The constructors of a range type come and go with it.
  and not exists (
    select 1
    from pg_depend as d
    where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype in ('e', 'i')
  )
