-- Text search configurations, with the dictionaries of each kind of token, and dictionaries.
select
  format('text search configuration %I.%I', n.nspname, c.cfgname) as object,
  concat_ws(
    e'\n',
    'parser ' || p.prsname,
    (
      select string_agg(format('token %s by %s', t.alias, m.dictionaries), e'\n' order by t.alias)
      from (
        select
          x.maptokentype,
          string_agg(x.mapdict::regdictionary::text, ', ' order by x.mapseqno) as dictionaries
        from pg_ts_config_map as x
        where x.mapcfg = c.oid
        group by x.maptokentype
      ) as m
      inner join ts_token_type(c.cfgparser) as t on m.maptokentype = t.tokid
    )
  ) as definition
from pg_ts_config as c
inner join pg_ts_parser as p on c.cfgparser = p.oid
inner join pg_namespace as n on c.cfgnamespace = n.oid
where n.nspname !~ '^pg_'
union all
select
  format('text search dictionary %I.%I', n.nspname, d.dictname) as object,
  concat_ws(e'\n', 'template ' || t.tmplname, 'options ' || d.dictinitoption) as definition
from pg_ts_dict as d
inner join pg_ts_template as t on d.dicttemplate = t.oid
inner join pg_namespace as n on d.dictnamespace = n.oid
where
  n.nspname !~ '^pg_'
  and not exists (
    select 1
    from pg_depend as e
    where e.classid = 'pg_ts_dict'::regclass and e.objid = d.oid and e.deptype = 'e'
  )
