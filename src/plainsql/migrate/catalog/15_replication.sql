-- Publications and what they hold.
select
  format('publication %I', p.pubname) as object,
  concat_ws(
    e'\n',
    case when p.puballtables then 'all tables' end,
    format(
      'insert %s, update %s, delete %s, truncate %s, via root %s',
      p.pubinsert, p.pubupdate, p.pubdelete, p.pubtruncate, p.pubviaroot
    ),
    (
      select
        string_agg(
          concat_ws(
            ' ',
            'table',
            r.prrelid::regclass,
            r.prattrs::text,
            'where ' || pg_get_expr(r.prqual, r.prrelid)
          ),
          e'\n'
          order by r.prrelid::regclass::text
        )
      from pg_publication_rel as r
      where r.prpubid = p.oid
    ),
    (
      select
        string_agg(
          'schema ' || s.pnnspid::regnamespace, e'\n' order by s.pnnspid::regnamespace::text
        )
      from pg_publication_namespace as s
      where s.pnpubid = p.oid
    )
  ) as definition
from pg_publication as p
