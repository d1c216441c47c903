-- Policies of row-level security.
select
  format('policy %I on %s', p.polname, p.polrelid::regclass) as object,
  concat_ws(
    e'\n',
    case when p.polpermissive then 'permissive' else 'restrictive' end,
    'for '
    || case p.polcmd
      when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update' when
        'd'
        then 'delete'
      else 'all'
    end,
    (
      select
        'to '
        || string_agg(
          case r.role when 0 then 'public' else r.role::regrole::text end,
          ', ' order by r.role::regrole::text
        )
      from unnest(p.polroles) as r (role)
    ),
    'using ' || pg_get_expr(p.polqual, p.polrelid),
    'with check ' || pg_get_expr(p.polwithcheck, p.polrelid)
  ) as definition
from pg_policy as p
