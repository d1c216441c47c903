-- Rules, but for those that make a view a view.
select
  format('rule %I on %s', r.rulename, r.ev_class::regclass) as object,
  concat_ws(e'\n', pg_get_ruledef(r.oid), 'enabled ' || nullif(r.ev_enabled, 'O')::text)
    as definition
from pg_rewrite as r
inner join pg_class as c on r.ev_class = c.oid
inner join pg_namespace as n on c.relnamespace = n.oid
where
  r.rulename <> '_RETURN'
  and n.nspname !~ '^pg_'
  and n.nspname <> 'information_schema'
