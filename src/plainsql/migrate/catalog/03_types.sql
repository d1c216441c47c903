-- Enums, domains, ranges and composite types that belong to no table.
select
  format(
    '%s %I.%I',
    case t.typtype
      when 'e' then 'enum' when 'd' then 'domain' when 'r' then 'range' else 'type'
    end,
    n.nspname,
    t.typname
  ) as object,
  concat_ws(
    e'\n',
    'owner ' || t.typowner::regrole,
    case t.typtype
      when 'e'
        then (
          select string_agg(format('label %L', e.enumlabel), e'\n' order by e.enumsortorder)
          from pg_enum as e
          where e.enumtypid = t.oid
        )
      when 'd'
        then
          concat_ws(
            e'\n',
            'over ' || format_type(t.typbasetype, t.typtypmod),
            'collate '
            || nullif(
              nullif(t.typcollation, 0), 'pg_catalog."default"'::regcollation
            )::regcollation,
            'default ' || t.typdefault,
            case when t.typnotnull then 'not null' end,
            (
              select
                string_agg(
                  format('constraint %I %s', c.conname, pg_get_constraintdef(c.oid)),
                  e'\n' order by c.conname
                )
              from pg_constraint as c
              where c.contypid = t.oid
            )
          )
      when 'r'
        then (
          select format('of %s, %s', format_type(r.rngsubtype, null), r.rngsubdiff)
          from pg_range as r
          where r.rngtypid = t.oid
        )
      else (
        select
          string_agg(
            format('field %I %s', a.attname, format_type(a.atttypid, a.atttypmod)),
            e'\n' order by a.attnum
          )
        from pg_attribute as a
        where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped
      )
    end,
    (
      select 'grants ' || coalesce(string_agg(g::text, ' ' order by g::text), 'nothing')
      from unnest(coalesce(t.typacl, acldefault('T', t.typowner))) as g
    )
  ) as definition
from pg_type as t
inner join pg_namespace as n on t.typnamespace = n.oid
where
  n.nspname !~ '^pg_'
  and n.nspname <> 'information_schema'
  and (
    t.typtype in ('e', 'd', 'r')
    or (
      t.typtype = 'c' and exists (
        select 1 from pg_class as c
        where c.oid = t.typrelid and c.relkind = 'c'
      )
    )
  )
  and not exists (
    select 1
    from pg_depend as d
    where d.classid = 'pg_type'::regclass and d.objid = t.oid and d.deptype = 'e'
  )
