"""Write the generated half of docs/layers/LAYER.md: a layer's tables and operations.

python scripts/layer_doc.py realty            writes it
python scripts/layer_doc.py realty --check    exits with 1 if it is not up to date

The tables come from a database: an embedded scratch server with the layer's migrations applied. The
operations come from the generated modules and the SQL's comments, up to a paragraph that begins with
"Implementation:". The text above the marker is written by hand, and kept.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from plainsql import embedded, migrate, statements

ROOT = Path(__file__).parents[1]

_TABLES = """
select c.relname, obj_description(c.oid, 'pg_class'), c.oid
from pg_class as c
where c.relnamespace = to_regnamespace(%s) and c.relkind in ('r', 'p')
order by c.relname
"""
_COLUMNS = """
select
  a.attname,
  format_type(a.atttypid, a.atttypmod),
  a.attnotnull,
  a.attgenerated <> '',
  coalesce(pg_get_expr(d.adbin, d.adrelid), case when a.attidentity <> '' then 'identity' end),
  col_description(a.attrelid, a.attnum),
  (select string_agg(quote_literal(e.enumlabel), ', ' order by e.enumsortorder)
   from pg_enum as e where e.enumtypid = a.atttypid)
from pg_attribute as a
left join pg_attrdef as d on d.adrelid = a.attrelid and d.adnum = a.attnum
where a.attrelid = %s and a.attnum > 0 and not a.attisdropped
order by a.attnum
"""
_CONSTRAINTS = """
select c.contype, c.conname, pg_get_constraintdef(c.oid)
from pg_constraint as c
where c.conrelid = %s and c.contype in ('p', 'u', 'f', 'c')
order by array_position(array['p', 'u', 'f', 'c'], c.contype::text), c.conname
"""
_INDEXES = """
select i.relname, x.indisunique, pg_get_indexdef(i.oid)
from pg_index as x
inner join pg_class as i on x.indexrelid = i.oid
where x.indrelid = %s and not exists (select from pg_constraint as c where c.conindid = i.oid)
order by i.relname
"""
# The column by which one row belongs to another. Of several, it is the one that names the other row and not
# both rows' tenant. Two ways from one table to another are two lines; two constraints over one column are
# one line.
_RELATIONS = """
select parent.relname, child.relname, bool_and(all_columns.needed), last_column.attname
from pg_constraint as c
inner join pg_class as child on c.conrelid = child.oid
inner join pg_class as parent on c.confrelid = parent.oid
cross join lateral (
  select bool_and(a.attnotnull) as needed
  from pg_attribute as a
  where a.attrelid = c.conrelid and a.attnum = any (c.conkey)
) as all_columns
cross join lateral (
  select a.attname
  from unnest(c.conkey, c.confkey) with ordinality as k (own, theirs, number)
  inner join pg_attribute as a on a.attrelid = c.conrelid and a.attnum = k.own
  inner join pg_attribute as p on p.attrelid = c.confrelid and p.attnum = k.theirs
  order by p.attname = 'id' desc, k.number desc
  limit 1
) as last_column
where c.contype = 'f' and child.relnamespace = to_regnamespace(%s)
group by parent.relname, child.relname, last_column.attname
order by 1, 2, 4
"""
# A unique constraint that holds the whole primary key says nothing new: foreign keys need it.
_KEYS = """
select
  a.attname,
  array_remove(array[
    case when bool_or(c.contype = 'p') then 'PK' end,
    case when bool_or(c.contype = 'f') then 'FK' end,
    case
      when bool_or(c.contype = 'u' and not c.conkey @> p.conkey and a.attnum <> all (p.conkey)) then 'UK'
    end
  ], null)
from pg_constraint as c
inner join pg_constraint as p on p.conrelid = c.conrelid and p.contype = 'p'
inner join pg_attribute as a on a.attrelid = c.conrelid and a.attnum = any (c.conkey)
where c.conrelid = %s
group by a.attname
"""
_POLICIES = """
select
  p.polname,
  case p.polcmd
    when 'r' then 'select'
    when 'a' then 'insert'
    when 'w' then 'update'
    when 'd' then 'delete'
  end,
  pg_get_expr(p.polqual, p.polrelid),
  pg_get_expr(p.polwithcheck, p.polrelid)
from pg_policy as p
where p.polrelid = %s
order by p.polname
"""
# The rights of roles other than the owner on a table, and the columns that they may change if not all.
_GRANTS = """
with
of_table as (
  select
    g.grantee,
    string_agg(lower(g.privilege_type), ', ' order by array_position(
      array['SELECT', 'INSERT', 'UPDATE', 'DELETE'], g.privilege_type
    )) as verbs
  from pg_class as c
  cross join lateral aclexplode(c.relacl) as g
  where c.oid = %(table)s and g.grantee <> c.relowner
  group by g.grantee
),

of_columns as (
  select
    g.grantee,
    lower(g.privilege_type) || ' of ' || string_agg(a.attname, ', ' order by a.attnum) as verbs
  from pg_attribute as a
  inner join pg_class as c on c.oid = a.attrelid
  cross join lateral aclexplode(a.attacl) as g
  where a.attrelid = %(table)s and g.grantee <> c.relowner
  group by g.grantee, g.privilege_type
)

select pg_get_userbyid(g.grantee), string_agg(g.verbs, '; ')
from (select * from of_table union all select * from of_columns) as g
group by g.grantee
order by 1
"""
_SECURITY = "select c.relrowsecurity, c.relforcerowsecurity from pg_class as c where c.oid = %s"


_SHORT_TYPES = {
    "timestamp with time zone": "timestamptz",
    "timestamp without time zone": "timestamp",
    "character varying": "varchar",
    "character(": "char(",
}


@dataclass(frozen=True)
class Operation:
    """One generated function."""

    name: str
    call: str
    returns: str
    what: str


def marker(layer: str) -> str:
    """Return the line between the hand-written half and the generated one."""
    return f"<!-- Generated by scripts/layer_doc.py {layer} from here on. Do not edit below. -->"


def generated(layer: str, connection: psycopg.Connection[Any]) -> str:
    """Return the generated half, from a database that has the layer's tables."""
    return "\n".join([*_tables(layer, connection), *_operations(layer)]) + "\n"


def page(layer: str, connection: psycopg.Connection[Any]) -> tuple[Path, str]:
    """Return the page's file, and its text when it is up to date."""
    file = ROOT / "docs" / "layers" / f"{layer}.md"
    by_hand = file.read_text("utf-8").partition(marker(layer))[0].rstrip() if file.exists() else f"# {layer}"
    return file, f"{by_hand}\n\n{marker(layer)}\n\n{generated(layer, connection)}"


def _tables(layer: str, connection: psycopg.Connection[Any]) -> Iterator[str]:
    tables = connection.execute(_TABLES, [layer]).fetchall()
    yield from ["## Tables", "", *_diagram(layer, tables, connection), ""]
    for table, comment, oid in tables:
        yield from [
            f"### {layer}.{table}",
            "",
            f"{comment}.",
            "",
            "| column | type | null | default | |",
            "|---|---|---|---|---|",
        ]
        for name, type_, not_null, is_generated, default, about, labels in connection.execute(
            _COLUMNS, [oid]
        ):
            shown = f"`{type_}`: {labels}" if labels else f"`{type_}`"
            standard = "generated" if is_generated else f"`{default}`" if default else ""
            cells = [f"`{name}`", shown, "" if not_null else "yes", standard, about or ""]
            yield f"| {' | '.join(map(_cell, cells))} |"
        yield ""
        for _, name, definition in connection.execute(_CONSTRAINTS, [oid]):
            yield f"- `{name}`: `{_lower(definition)}`"
        for name, unique, definition in connection.execute(_INDEXES, [oid]):
            kind = "unique index" if unique else "index"
            yield f"- `{name}`: `{kind} using {_lower(definition.partition(' USING ')[2])}`"
        yield from _security(oid, connection)
        yield ""


def _diagram(
    layer: str, tables: Sequence[tuple[str, str, int]], connection: psycopg.Connection[Any]
) -> Iterator[str]:
    """The schema as Mermaid, which GitHub and many editors show as a picture."""
    yield from ["```mermaid", "erDiagram"]
    for parent, child, needed, column in connection.execute(_RELATIONS, [layer]):
        yield f"  {parent} {'||' if needed else '|o'}--o{{ {child} : {column}"
    for table, _, oid in tables:
        keys = dict(connection.execute(_KEYS, [oid]).fetchall())
        yield f"  {table} {{"
        for name, type_, not_null, *_ in connection.execute(_COLUMNS, [oid]):
            marks = f" {', '.join(keys[name])}" if keys.get(name) else ""
            yield f"    {_short(type_)} {name}{marks}" + ("" if not_null else ' "null"')
        yield "  }"
    yield "```"


def _short(type_: str) -> str:
    """A type as people write it, and as one word: Mermaid's grammar has no blanks and commas in it."""
    for long, short in _SHORT_TYPES.items():
        type_ = type_.replace(long, short)
    return re.sub(r"[^\w()\[\]-]+", "_", type_.rpartition(".")[2])


def _security(oid: int, connection: psycopg.Connection[Any]) -> Iterator[str]:
    ((enabled, forced),) = connection.execute(_SECURITY, [oid])
    if enabled:
        yield f"- row-level security, enabled{' and forced' if forced else ''}:"
        for name, verb, using, check in connection.execute(_POLICIES, [oid]):
            parts = [f"for {verb}"] if verb else []
            parts += [f"using {_lower(using)}"] if using else []
            parts += [f"with check {_lower(check)}"] if check and check != using else []
            yield f"  - `{name}`: `{' '.join(parts)}`"
    for role, verbs in connection.execute(_GRANTS, {"table": oid}):
        yield f"- `{role}` may: {verbs}"


def _operations(layer: str) -> Iterator[str]:
    described = {name: s.description for name, s in statements.load(ROOT / "sql" / layer).items()}
    yield from ["## Operations", "", "Parameters are given by name; those in brackets may be left out.", ""]
    for folder in sorted(path for path in (ROOT / "sql" / layer).iterdir() if path.is_dir()):
        module = ROOT / "src" / "plainsql" / "layers" / layer / f"{folder.name}.py"
        yield from [f"### {layer}.{folder.name}", "", "| call | returns | |", "|---|---|---|"]
        for operation in _functions(module, described, folder.name):
            yield f"| `{operation.call}` | {operation.returns} | {_cell(operation.what)} |"
        yield ""


def _functions(module: Path, described: dict[str, str], folder: str) -> Iterator[Operation]:
    for node in ast.parse(module.read_text("utf-8")).body:
        if not isinstance(node, ast.FunctionDef):
            continue
        parameters = [
            argument.arg if default is None else f"[{argument.arg}]"
            for argument, default in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
        ]
        contract = described[f"{folder}.{node.name}"].partition("\n\nImplementation:")[0]
        yield Operation(
            node.name,
            f"{node.name}({', '.join(parameters)})",
            _returns(node),
            " ".join(contract.split()).replace("``", "`"),
        )


def _returns(function: ast.FunctionDef) -> str:
    declared = function.decorator_list[0]
    assert isinstance(declared, ast.Call)
    made = declared.func
    if isinstance(made, ast.Name):
        return "the number of rows"
    assert isinstance(made, ast.Subscript)
    kind = ast.unparse(made.value).rstrip("_")
    if kind == "count":
        return "the number of rows"
    # The type of the parameters follows that of the item.
    item = ast.unparse(made.slice.elts[0] if isinstance(made.slice, ast.Tuple) else made.slice)
    rows = f"a list of `{item}`"
    kinds = {
        "one": f"`{item}`",
        "optional": f"`{item}` or `None`",
        "many": rows,
        "paged": f"{rows}, or pages",
    }
    return kinds[kind]


def _lower(definition: str) -> str:
    """SQL with its keywords in lower case, as the rest of the project has them."""
    parts = re.split(r"('(?:[^']|'')*')", definition)
    return "".join(
        part if part[:1] == "'" else re.sub(r"\b[A-Z]{2,}\b", lambda word: word[0].lower(), part)
        for part in parts
    )


def _cell(text: str) -> str:
    return text.replace("|", r"\|").replace("\n", " ")


def main(arguments: list[str]) -> int:
    """Write the page of a layer, or check it."""
    layers = [argument for argument in arguments if not argument.startswith("-")]
    if len(layers) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    (layer,) = layers
    with embedded.start(scratch=True) as server:
        migrate.apply(server.url(), ROOT / "migrations", layers=[layer])
        with psycopg.connect(server.url()) as connection:
            file, text = page(layer, connection)
    if "--check" in arguments:
        if file.read_text("utf-8") == text:
            return 0
        print(
            f"{file.relative_to(ROOT)} is not up to date: run `python scripts/layer_doc.py {layer}`",
            file=sys.stderr,
        )
        return 1
    file.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
