"""The checks of one layer: its extensions, its indexes, and whether the role can run its queries."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from plainsql import statements
from plainsql.errors import PlainsqlError
from plainsql.health.results import Check, failure
from plainsql.health.steps import Command, RefusedStepError, Steps
from plainsql.layer_folders import Layer
from plainsql.statements import Compiled

__all__ = ["layer_checks"]

_MAX_NAMED: Final = 5
_MAY_NOT: Final = "42501"
_MIN_SERVER: Final = 160000
"""The oldest server that plans a statement without its arguments."""
_EXPLAINED: Final = re.compile(
    r"(?:\s|--[^\n]*\n|\()*(?:select|insert|update|delete|merge|with)\b", re.IGNORECASE
)

_SESSION: Final = """
select
  current_setting('server_version_num')::integer,
  quote_ident(current_user),
  (select quote_ident(r.rolname) from pg_roles as r where r.rolname = {role}),
  coalesce((select pg_has_role(r.oid, 'usage') from pg_roles as r where r.rolname = {role}), false)
"""

# What tables, indexes, functions and text search configurations of the schema are made with.
_EXTENSIONS: Final = """
select distinct e.extname, e.extversion, a.default_version, quote_ident(e.extname)
from (
  select 'pg_class'::regclass as class, c.oid from pg_class as c
  where c.relnamespace = {schema}
  union all
  select 'pg_attrdef'::regclass, d.oid from pg_attrdef as d
  inner join pg_class as c on c.oid = d.adrelid and c.relnamespace = {schema}
  union all
  select 'pg_proc'::regclass, p.oid from pg_proc as p
  where p.pronamespace = {schema}
  union all
  select 'pg_ts_config'::regclass, f.oid from pg_ts_config as f
  where f.cfgnamespace = {schema}
) as o
inner join pg_depend as d on d.classid = o.class and d.objid = o.oid
inner join pg_depend as m
  on m.classid = d.refclassid
  and m.objid = d.refobjid
  and m.refclassid = 'pg_extension'::regclass
  and m.deptype = 'e'
inner join pg_extension as e on e.oid = m.refobjid
left join pg_available_extensions as a on a.name = e.extname
where e.extname <> 'plpgsql'
order by e.extname
"""

_INDEXES: Final = """
select i.indexrelid::regclass::text, i.indisvalid and i.indisready
from pg_index as i
inner join pg_class as c on c.oid = i.indrelid
where c.relnamespace = {schema}
order by 1
"""


def layer_checks(layer: Layer) -> Steps:
    """Yield the steps of the checks of a layer.

    Its migrations are another check's. Nothing is run but ``explain``, and no row is read.
    """
    schema = f"to_regnamespace({_literal(layer.name)})"
    if (yield f"select {schema} is null")[0][0]:
        hint = f"plainsql migrate --layer {layer.name}"
        yield Check(f"schema of {layer.name}", "failed", "the database has no such schema", hint)
        return
    yield from _extensions(layer, schema)
    yield from _indexes(layer, schema)
    yield from _rights(layer)


def _extensions(layer: Layer, schema: str) -> Steps:
    name = f"extensions of {layer.name}"
    rows = yield _EXTENSIONS.format(schema=schema)
    found = {
        extension: {"version": version, "available": available} for extension, version, available, _ in rows
    }
    if not found:
        yield Check(name, "skipped", "it uses none")
        return
    text = ", ".join(f"{extension} {version}" for extension, version, *_ in rows)
    old = [row for row in rows if row[2] is not None and _numbers(row[1]) < _numbers(row[2])]
    if old:
        _, _, available, quoted = old[0]
        text = f"{text}; the server has {', '.join(f'{row[0]} {row[2]}' for row in old)}"
        hint = f"alter extension {quoted} update to '{available}'"
        yield Check(name, "warning", text, hint, {"extensions": found})
        return
    yield Check(name, "ok", text, None, {"extensions": found})


def _indexes(layer: Layer, schema: str) -> Steps:
    name = f"indexes of {layer.name}"
    rows = yield _INDEXES.format(schema=schema)
    invalid = [index for index, is_valid in rows if not is_valid]
    found = {"indexes": len(rows), "invalid": invalid}
    if invalid:
        text = f"not valid: {_listed(invalid)}; queries do not use them, and writes keep them up"
        hint = f"reindex index concurrently {invalid[0]}"
        yield Check(name, "failed", text, hint, found)
    else:
        yield Check(name, "ok", f"{len(rows)}, all valid", None, found)


def _rights(layer: Layer) -> Steps:
    """Yield the steps that plan each query as the connected role: the server checks its rights then."""
    name = f"rights of {layer.name}"
    role = f"{layer.name}_app"
    server, user, known, is_member = (yield _SESSION.format(role=_literal(role)))[0]
    if server < _MIN_SERVER:
        yield Check(name, "skipped", "PostgreSQL 16 or newer plans queries without their arguments")
        return
    try:
        texts = dict(_texts(layer))
    except PlainsqlError as error:
        yield failure(name, error)
        return
    refused: dict[str, str] = {}
    broken: dict[str, str] = {}
    for query, sqls in texts.items():
        for sql in sqls:
            try:
                yield Command(f"explain (generic_plan, costs off) {sql}")
            except RefusedStepError as error:
                into = refused if error.sqlstate == _MAY_NOT else broken
                into[query] = error.reason
                break
    found: dict[str, Any] = {"role": user, "queries": len(texts), "refused": refused, "broken": broken}
    if broken:
        query, reason = next(iter(broken.items()))
        text = f"{len(broken)} of {len(texts)} queries cannot be planned: {query}: {reason}"
        yield Check(name, "failed", text, "apply the migrations of the version that is installed", found)
    elif refused:
        reasons = [reason for reason, _ in Counter(refused.values()).most_common()]
        text = f"{user} cannot run {len(refused)} of {len(texts)} queries: {_listed(reasons)}"
        if known is not None and not is_member:
            hint = f"grant {known} to {user}"
        else:
            hint = f"plainsql grants --role {user} --database URL prints the grants that are missing"
        yield Check(name, "failed", text, hint, found)
    else:
        yield Check(name, "ok", f"{user} can run all {len(texts)} queries", None, found)


def _texts(layer: Layer) -> Iterator[tuple[str, list[str]]]:
    """Yield each query with its texts; together they have every line of it."""
    if not layer.sql.is_dir():
        return
    for name, statement in statements.load(layer.sql).items():
        sqls = [sql for sql in _longest(statement.compiled) if _EXPLAINED.match(sql)]
        if sqls:
            shown = name if layer.is_flat else f"{layer.name}.{name.removeprefix(f'{layer.name}.')}"
            yield shown, sqls


def _longest(compiled: Compiled) -> Iterator[str]:
    """Yield the text with the most optional lines for each combination of the choices."""
    longest: dict[tuple[str | bool, ...], tuple[int, str]] = {}
    for variant in compiled.variants():
        key = tuple(variant.choices.get(choice, False) for choice in compiled.choices)
        if key not in longest or len(variant.given) > longest[key][0]:
            longest[key] = (len(variant.given), variant.sql)
    return iter(sql for _, sql in longest.values())


def _listed(names: list[str]) -> str:
    more = [f"{len(names) - _MAX_NAMED} more"] if len(names) > _MAX_NAMED else []
    return ", ".join([*names[:_MAX_NAMED], *more])


def _literal(text: str) -> str:
    """Return the name of a folder as a literal of SQL."""
    return "'" + text.replace("'", "''") + "'"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))
