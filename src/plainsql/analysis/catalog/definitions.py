"""The definitions of the users' objects, and those on which the analysis of a statement can depend.

PostgreSQL finds a relation, function or type by a name in the statement. So a statement depends on the
objects whose names are among its words, whatever their schemas: a new table or overload of such a name can
change the meaning of the statement. From there it depends on the names in the definitions of these objects:
the tables of a view, the function of a trigger, the functions that a function's body calls. Everything else
is used without a name (operators, casts, operator classes …), and every statement depends on it.

Words are taken from whole texts, strings included, because ``'notes'::regclass`` is a name too. A word too
many costs an analysis; a word too few would keep a wrong answer.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from typing import Any

from psycopg import Connection

__all__ = ["FIRST_USER_OID", "Definitions"]

FIRST_USER_OID = 16384
"""The server's own objects have smaller oids."""

_WORD = re.compile(r"\w+")
_NAME_BYTES = 63
# A name can be written so that its words do not appear: with escapes, or as a string in two parts.
_ESCAPED = re.compile(r"[uUeE]&?['\"]")
_IN_PARTS = re.compile(r"'(?=[^']*[\n\r])(?:\s|--[^\n\r]*+)+'")

# Rows of (name, definition, names in the definition). An extension's objects are covered by its version.
_USERS_ALONE = """
{alias}.oid >= {first} and not exists (
  select 1 from pg_catalog.pg_depend as e
  where e.classid = 'pg_catalog.{catalog}'::regclass and e.objid = {alias}.oid and e.deptype = 'e'
)"""


def _users_alone(alias: str, catalog: str) -> str:
    return _USERS_ALONE.format(alias=alias, catalog=catalog, first=FIRST_USER_OID)


def _plan_sql(table: str) -> str:
    """Return a query for what a plan of a statement on a table computes beforehand, or may compare with."""
    return f"""
select string_agg(one.definition, E'\\n' order by one.definition)
from (
  select pg_get_indexdef(i.indexrelid) from pg_catalog.pg_index as i
  where i.indrelid = {table} and (i.indexprs is not null or i.indpred is not null
    or exists (select from unnest(i.indclass::oid[]) as u (oid) where u.oid >= {FIRST_USER_OID}))
  union all
  select pg_get_constraintdef(x.oid) from pg_catalog.pg_constraint as x
  where x.conrelid = {table} and x.conrelid <> 0 and x.contype = 'c'
  union all
  select pg_get_statisticsobjdef(x.oid) from pg_catalog.pg_statistic_ext as x where x.stxrelid = {table}
) as one(definition)"""


_RELATIONS = f"""
select c.relname,
  concat_ws(E'\\n', c.oid::regclass, row(c.relkind, c.relpersistence, c.relrowsecurity, c.relforcerowsecurity,
    c.relowner::regrole, c.relacl, c.reloptions, c.relispartition, m.amname, pg_relation_size(c.oid),
    obj_description(c.oid, 'pg_class'), s.srvname, f.ftoptions)::text,
    pg_get_expr(c.relpartbound, c.oid), columns.definition, constraints.definition, incoming.definition,
    reached.definition),
  concat_ws(E'\\n', columns.reach, constraints.reach, incoming.reach, reached.definition)
from pg_catalog.pg_class as c
left join pg_catalog.pg_am as m on m.oid = c.relam
left join pg_catalog.pg_foreign_table as f on f.ftrelid = c.oid
left join pg_catalog.pg_foreign_server as s on s.oid = f.ftserver
cross join lateral (
  select
    string_agg(concat_ws(' ', a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attgenerated,
      a.attidentity, a.attcollation::regcollation, a.attacl, pg_get_expr(d.adbin, d.adrelid),
      col_description(c.oid, a.attnum)), E'\\n' order by a.attnum) as definition,
    string_agg(concat_ws(' ', format_type(a.atttypid, a.atttypmod), pg_get_expr(d.adbin, d.adrelid)), E'\\n')
      as reach
  from pg_catalog.pg_attribute as a
  left join pg_catalog.pg_attrdef as d on d.adrelid = a.attrelid and d.adnum = a.attnum
  where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
) as columns
cross join lateral (
  -- A foreign key is part of both its tables, but leads from the table that it refers to alone, and only if
  -- it changes rows there: what a proof needs of the other, it has from the statement's own words. What the
  -- check of a key computes on the other table is part of both.
  select
    string_agg(concat_ws(' ', k.conname, pg_get_constraintdef(k.oid), k.convalidated, k.connoinherit,
      ({_plan_sql("k.confrelid")})), E'\\n' order by k.conname) as definition,
    string_agg(case k.contype when 'f' then ({_plan_sql("k.confrelid")}) else pg_get_constraintdef(k.oid) end,
      E'\\n') as reach
  from pg_catalog.pg_constraint as k
  where k.conrelid = c.oid
) as constraints
cross join lateral (
  select
    string_agg(concat_ws(' ', k.conname, k.conrelid::regclass, pg_get_constraintdef(k.oid), k.convalidated,
      ({_plan_sql("k.conrelid")})), E'\\n' order by k.conrelid::regclass::text, k.conname) as definition,
    string_agg(concat_ws(' ', case when k.confdeltype in ('c', 'n', 'd') or k.confupdtype in ('c', 'n', 'd')
      then k.conrelid::regclass end, ({_plan_sql("k.conrelid")})), ' ') as reach
  from pg_catalog.pg_constraint as k
  where k.confrelid = c.oid and k.contype = 'f'
) as incoming
cross join lateral (
  select string_agg(one.definition, E'\\n' order by one.definition) as definition
  from (
    select concat_ws(' ', pg_get_indexdef(i.indexrelid), i.indisvalid, i.indislive, i.indimmediate)
    from pg_catalog.pg_index as i where i.indrelid = c.oid
    union all
    select concat_ws(' ', pg_get_triggerdef(t.oid), t.tgenabled)
    from pg_catalog.pg_trigger as t where t.tgrelid = c.oid and not t.tgisinternal
    union all
    select concat_ws(' ', p.polname, p.polcmd, p.polpermissive, p.polroles::regrole[]::text,
      pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid))
    from pg_catalog.pg_policy as p where p.polrelid = c.oid
    union all
    select concat_ws(' ', pg_get_ruledef(r.oid), r.ev_enabled)
    from pg_catalog.pg_rewrite as r where r.ev_class = c.oid
    union all
    select concat_ws(' ', 'inherits', i.inhparent::regclass, i.inhrelid::regclass)
    from pg_catalog.pg_inherits as i where c.oid in (i.inhparent, i.inhrelid)
    union all
    select pg_get_statisticsobjdef(s.oid) from pg_catalog.pg_statistic_ext as s where s.stxrelid = c.oid
    union all
    select pg_get_partkeydef(c.oid)
  ) as one(definition)
) as reached
where c.relkind in ('r', 'v', 'm', 'f', 'p', 'S') and {_users_alone("c", "pg_class")}
"""

_FUNCTIONS = f"""
select p.proname, made.definition, made.definition
from pg_catalog.pg_proc as p
left join pg_catalog.pg_aggregate as g on g.aggfnoid = p.oid
cross join lateral (
  select concat_ws(E'\\n',
    case when p.prokind = 'a' then row(p.oid::regprocedure, p.provolatile, p.proisstrict,
      p.prorettype::regtype, g.aggkind, g.aggnumdirectargs, g.aggtransfn, g.aggfinalfn, g.aggcombinefn,
      g.aggserialfn, g.aggdeserialfn, g.aggmtransfn, g.aggminvtransfn, g.aggmfinalfn,
      g.aggsortop::regoperator, g.aggtranstype::regtype,
      g.agginitval)::text
    else pg_get_functiondef(p.oid) end,
    p.proowner::regrole, p.proacl::text, obj_description(p.oid, 'pg_proc')) as definition
) as made
where {_users_alone("p", "pg_proc")}
"""

_TYPES = f"""
select t.typname, made.definition, made.definition
from pg_catalog.pg_type as t
left join pg_catalog.pg_class as c on c.oid = t.typrelid
left join pg_catalog.pg_range as r on t.oid in (r.rngtypid, r.rngmultitypid)
cross join lateral (
  select concat_ws(E'\\n',
    row(t.oid::regtype, t.typtype, t.typcategory, t.typispreferred, t.typinput, t.typoutput, t.typreceive,
      t.typsubscript, t.typelem::regtype, format_type(t.typbasetype, t.typtypmod), t.typnotnull,
      t.typdefault, t.typcollation::regcollation, r.rngtypid::regtype, r.rngsubtype::regtype,
      r.rngmultitypid::regtype, r.rngcanonical, r.rngsubdiff)::text,
    (select string_agg(e.enumlabel, E'\\n' order by e.enumsortorder)
      from pg_catalog.pg_enum as e where e.enumtypid = t.oid),
    (select string_agg(concat_ws(' ', k.conname, pg_get_constraintdef(k.oid), k.convalidated), E'\\n'
      order by k.conname) from pg_catalog.pg_constraint as k where k.contypid = t.oid),
    (select string_agg(concat_ws(' ', a.attname, format_type(a.atttypid, a.atttypmod)), E'\\n'
      order by a.attnum) from pg_catalog.pg_attribute as a
      where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped)) as definition
) as made
where coalesce(c.relkind, 'c') = 'c' and {_users_alone("t", "pg_type")}
"""

# Objects that are used without being named. Rows of (definition, the function that it calls).
_UNNAMED_OBJECTS = f"""
select concat_ws(' ', 'version', current_setting('server_version'), current_setting('server_encoding'),
  current_user), null
union all
select concat_ws(' ', 'extension', e.extname, e.extversion, e.extnamespace::regnamespace), null
from pg_catalog.pg_extension as e
union all
select concat_ws(' ', 'schema', n.nspname, n.nspowner::regrole, n.nspacl::text), null
from pg_catalog.pg_namespace as n where n.nspname !~ '^pg_(toast|temp)'
union all
select concat_ws(' ', 'setting', s.setrole::regrole, s.setconfig::text), null
from pg_catalog.pg_db_role_setting as s
left join pg_catalog.pg_database as d on d.oid = s.setdatabase
left join pg_catalog.pg_roles as r on r.oid = s.setrole
where (s.setdatabase = 0 or d.datname = current_database()) and (s.setrole = 0 or r.rolname = current_user)
union all
select concat_ws(' ', 'operator', o.oid::regoperator, o.oprcode::regprocedure, o.oprresult::regtype,
  o.oprcom::regoperator, o.oprnegate::regoperator, o.oprcanmerge, o.oprcanhash, o.oprrest, o.oprjoin),
  (select p.proname from pg_catalog.pg_proc as p where p.oid = o.oprcode)
from pg_catalog.pg_operator as o where {_users_alone("o", "pg_operator")}
union all
select concat_ws(' ', 'cast', k.castsource::regtype, k.casttarget::regtype, k.castfunc::regprocedure,
  k.castcontext, k.castmethod), (select p.proname from pg_catalog.pg_proc as p where p.oid = k.castfunc)
from pg_catalog.pg_cast as k where {_users_alone("k", "pg_cast")}
union all
select concat_ws(' ', pg_describe_object('pg_catalog.pg_opclass'::regclass, o.oid, 0), o.opcdefault,
  o.opcintype::regtype, pg_describe_object('pg_catalog.pg_opfamily'::regclass, o.opcfamily, 0)), null
from pg_catalog.pg_opclass as o where {_users_alone("o", "pg_opclass")}
union all
select concat_ws(' ', pg_describe_object('pg_catalog.pg_amop'::regclass, o.oid, 0), o.amopopr::regoperator),
  null
from pg_catalog.pg_amop as o where {_users_alone("o", "pg_amop")}
union all
select concat_ws(' ', pg_describe_object('pg_catalog.pg_amproc'::regclass, o.oid, 0),
  o.amproc::regprocedure), (select p.proname from pg_catalog.pg_proc as p where p.oid = o.amproc)
from pg_catalog.pg_amproc as o where {_users_alone("o", "pg_amproc")}
union all
select concat_ws(' ', 'collation', o.oid::regcollation, o.collprovider, o.collisdeterministic, o.collcollate,
  o.collctype), null
from pg_catalog.pg_collation as o where {_users_alone("o", "pg_collation")}
union all
select concat_ws(' ', 'language', o.lanname, o.lanpltrusted), null from pg_catalog.pg_language as o
union all
select concat_ws(' ', 'text search', o.oid::regconfig, o.cfgparser::text), null
from pg_catalog.pg_ts_config as o where {_users_alone("o", "pg_ts_config")}
union all
select concat_ws(' ', 'text search', o.oid::regdictionary, o.dictinitoption), null
from pg_catalog.pg_ts_dict as o where {_users_alone("o", "pg_ts_dict")}
union all
select concat_ws(' ', 'server', o.srvname, o.srvtype, o.srvversion, o.srvoptions::text), null
from pg_catalog.pg_foreign_server as o
"""

_TYPE_OIDS = """
select n.nspname, t.typname, t.oid
from pg_catalog.pg_type as t
inner join pg_catalog.pg_namespace as n on n.oid = t.typnamespace
where t.oid >= %s
"""


class Definitions:
    """The definitions of one database, read once. Later changes are not followed."""

    def __init__(self, connection: Connection[Any]) -> None:
        """Read the definitions. Outside a transaction, the connection is in autocommit mode."""
        (path,) = connection.execute("select pg_catalog.current_setting('search_path')").fetchone() or ("",)
        # With an empty path, every name is written with its schema. The meaning of an unqualified name
        # depends on the objects of that name and on the path itself; both are in the digest.
        _set_path(connection, "")
        try:
            unnamed = connection.execute(_UNNAMED_OBJECTS.encode()).fetchall()
            named = [
                row
                for query in (_RELATIONS, _FUNCTIONS, _TYPES)
                for row in connection.execute(query.encode()).fetchall()
            ]
            oids = connection.execute(_TYPE_OIDS, [FIRST_USER_OID]).fetchall()
        finally:
            _set_path(connection, path)
        self.type_oids: dict[tuple[str, str], int] = {(schema, name): oid for schema, name, oid in oids}
        """The oids of user-made types, by schema and name."""
        self._unnamed = _digest("\n".join([path, *sorted(definition for definition, _ in unnamed)]))
        self._objects: list[tuple[bytes, frozenset[str] | None]] = []
        """The digest of each object's definition, and the words that lead on from it; ``None`` leads to all
        objects.
        """
        self._by_word: dict[str, list[int]] = {}
        for name, definition, reach in named:
            number = len(self._objects)
            self._objects.append((_digest(f"{name}\0{definition}"), _words([reach])))
            self._by_word.setdefault(_first_word(name), []).append(number)
        # The functions behind operators and casts are called although nothing names them.
        self._always = _words(function for _, function in unnamed if function)

    def digest_for(self, texts: Iterable[str]) -> str:
        """Return a digest that changes with every definition on which the analysis of these texts depends."""
        digest = hashlib.blake2b(self._unnamed, digest_size=16)
        for own in sorted(self._objects[number][0] for number in self._reachable(texts)):
            digest.update(own)
        return digest.hexdigest()

    def _reachable(self, texts: Iterable[str]) -> Iterable[int]:
        words = _words(texts)
        if words is None or self._always is None:
            return range(len(self._objects))
        reached: set[int] = set()
        seen: set[str] = set()
        pending: list[str] = ["", *words, *self._always]
        while pending:
            word = pending.pop()
            if word in seen:
                continue
            seen.add(word)
            for number in self._by_word.get(word, ()):
                if number in reached:
                    continue
                reached.add(number)
                further = self._objects[number][1]
                if further is None:
                    return range(len(self._objects))
                pending += further
        return reached


def _set_path(connection: Connection[Any], path: str) -> None:
    connection.execute("select pg_catalog.set_config('search_path', %s, false)", [path])


def _words(texts: Iterable[str]) -> frozenset[str] | None:
    """Return the words that may be names, in lower case; ``None`` if some may not appear as words."""
    found: set[str] = set()
    for text in texts:
        # With uescape, the escape need not be a backslash.
        if _IN_PARTS.search(text) or ("\\" in text and _ESCAPED.search(text)) or "uescape" in text.lower():
            return None
        found.update(_folded(_WORD.findall(text)))
    return frozenset(found)


def _first_word(name: str) -> str:
    """Return the word by which an object is found, or "". A statement that names the object has all its
    words.
    """
    return next(_folded(_WORD.findall(name)), "")


def _folded(words: Iterable[str]) -> Iterator[str]:
    for word in words:
        lower = word.lower()
        yield lower
        # PostgreSQL cuts a name that is too long.
        if len(lower.encode()) > _NAME_BYTES:
            yield word.encode()[:_NAME_BYTES].decode(errors="ignore").lower()


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=16).digest()
