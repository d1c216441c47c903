"""Lints of row security: policies without effect or missing, and those that cost more than they need to.

Views that read past the policies of their tables are among them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from plainsql.analysis.conditions.equalities import strip_relabel
from plainsql.analysis.findings.schema_lints import USER_RELATIONS, SchemaLint, quoted
from plainsql.analysis.nodes import Node, conjuncts, read_tree
from plainsql.analysis.tree.query_tree import expression_children

__all__ = ["compares_with_call", "policy_lints"]

# Direct access to a partition may be closed on purpose: queries of the whole table use its own policies.
_ROW_SECURITY: Final = f"""
select
  c.relname,
  format('%I.%I', n.nspname, c.relname),
  c.relrowsecurity,
  c.relforcerowsecurity,
  (select min(p.polname) from pg_catalog.pg_policy as p where p.polrelid = c.oid)
from pg_catalog.pg_class as c
inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
where
  c.relkind in ('r', 'p')
  and c.relrowsecurity <> exists (select from pg_catalog.pg_policy as p where p.polrelid = c.oid)
  and not (c.relrowsecurity and c.relispartition)
  and {USER_RELATIONS}
order by n.nspname, c.relname
"""

_POLICIES: Final = f"""
select c.relname, format('%I.%I', n.nspname, c.relname), p.polname, p.polqual::text, p.polwithcheck::text,
  p.polcmd in ('*', 'r') and exists (
    select
    from pg_catalog.pg_index as i
    inner join pg_catalog.pg_class as x on x.oid = i.indexrelid
    inner join pg_catalog.pg_am as m on m.oid = x.relam
    where i.indrelid = c.oid and m.amname in ('hnsw', 'ivfflat')
  ),
  c.relkind = 'r' and not c.relispartition, concat_ws('.', n.nspname, c.relname)
from pg_catalog.pg_policy as p
inner join pg_catalog.pg_class as c on c.oid = p.polrelid
inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
where {USER_RELATIONS}
order by n.nspname, c.relname, p.polname
"""

# The server's own volatile functions return another value for each row, as their author means. now() and its
# kin take no longer than a comparison (0.04 µs a row; current_setting 0.16 µs, PL/pgSQL 0.6 µs).
_FUNCTIONS: Final = """
select p.oid::bigint, p.proname, p.provolatile = 'v'
from pg_catalog.pg_proc as p
where
  p.provolatile <> 'i'
  and not p.proretset
  and (p.oid >= 16384 or p.provolatile = 's')
  and not (p.oid < 16384 and p.proname in ('now', 'transaction_timestamp', 'statement_timestamp'))
"""

# A view runs with its owner's rights. The policies of a table bind its owner only if they are forced.
_VIEWS: Final = f"""
select c.relname, format('%I.%I', n.nspname, c.relname), min(t.oid::regclass::text)
from pg_catalog.pg_class as c
inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
inner join pg_catalog.pg_rewrite as r on r.ev_class = c.oid
inner join pg_catalog.pg_depend as d
  on d.classid = 'pg_catalog.pg_rewrite'::regclass
  and d.objid = r.oid
  and d.refclassid = 'pg_catalog.pg_class'::regclass
inner join pg_catalog.pg_class as t on t.oid = d.refobjid
where
  c.relkind = 'v'
  and t.relkind in ('r', 'p')
  and t.relrowsecurity
  and not t.relforcerowsecurity
  and t.relowner = c.relowner
  and not exists (
    select
    from unnest(c.reloptions) as o (text)
    where split_part(o.text, '=', 1) = 'security_invoker' and split_part(o.text, '=', 2)::boolean
  )
  and {USER_RELATIONS}
group by n.oid, n.nspname, c.oid, c.relname
order by n.nspname, c.relname
"""

_CALLS: Final = ("FUNCEXPR", "SQLVALUEFUNCTION")
_SECURITY_INVOKER_MAJOR: Final = 15


def policy_lints(connection: Any, oldest_server: int = 0) -> Iterator[SchemaLint]:
    """Yield the lints of the policies of a scratch database.

    ``oldest_server`` is the major of the oldest server in production, or 0.
    """
    for table, qualified, enabled, forced, policy in connection.execute(_ROW_SECURITY.encode()):
        if enabled:
            owner = "every role, its owner too," if forced else "every role but its owner"
            yield SchemaLint(
                "row-security-without-policy",
                f"row security of {qualified} is enabled, and there is no policy",
                f"{owner} reads no row of it and may write none",
                f"in a new migration: create policy … on {qualified}, or disable row level security",
                (
                    (f"table {table} enable row level security",),
                    ("row level security", table),
                    (f"table {table}",),
                ),
                table,
            )
        else:
            yield SchemaLint(
                "policy-without-row-security",
                f"the policy {quoted(policy)} of {qualified} has no effect: row security is not enabled",
                "every role with rights for the table reads all of its rows",
                f"in a new migration: alter table {qualified} enable row level security",
                ((f"policy {policy} on {table}",),),
                table,
            )
    yield from _of_conditions(connection)
    if (oldest_server or connection.info.server_version // 10000) < _SECURITY_INVOKER_MAJOR:
        return
    for view, qualified, table in connection.execute(_VIEWS.encode()):
        yield SchemaLint(
            "view-bypasses-policies",
            f"the view {qualified} reads {table} past its policies",
            "it reads with the rights of its owner, whom the policies do not bind",
            f"in a new migration: alter view {qualified} set (security_invoker = true)",
            ((f"view {view}",),),
            view,
        )


def _of_conditions(connection: Any) -> Iterator[SchemaLint]:
    """Yield the lints of what policies compare and call."""
    policies = connection.execute(_POLICIES.encode()).fetchall()
    if not policies:
        return
    functions = {oid: (name, volatile) for oid, name, volatile in connection.execute(_FUNCTIONS.encode())}
    for table, qualified, policy, using, check, has_vectors, is_whole, plain in policies:
        if has_vectors and using and any(map(_hidden, _conditions(using))):
            yield SchemaLint(
                "policy-hides-tenant",
                f"the policy {quoted(policy)} of {qualified} hides the tenant from the planner",
                "a vector search of a large tenant is planned as that of an average one: all of its rows are"
                " read and sorted",
                f"in a new migration: alter policy … on {qualified}, with the call itself and no sub-select;"
                " and partition the table by hash of the tenant, in whose index few rows are of others",
                ((f"policy {policy} on {table}",),),
                table,
            )
        if has_vectors and is_whole and using and any(map(compares_with_call, _conditions(using))):
            yield SchemaLint(
                "policy-mixes-tenants",
                f"the rows of all tenants of {qualified} are in one index of vectors,"
                f" and the policy {quoted(policy)} filters them",
                "a search of a tenant with one row in a hundred may take that index, where most of the near"
                " rows are of others: it is slow, and finds fewer of the nearest (0.76 of them, measured)",
                f"in a new migration: partition {qualified} by hash of the tenant; or, if no tenant has more"
                f" than some thousands of rows, alter policy … on {qualified}, with (select …) around the"
                " call, and allow policy-hides-tenant",
                ((f"policy {policy} on {table}",),),
                table,
                large=plain,
            )
        trees: list[object] = [read_tree(check)] if check else []
        if using:
            # The planner has to know the value, and an index or a partition evaluates it once.
            trees += [each for each in _conditions(using) if not (has_vectors and _compares_with_value(each))]
        calls = [oid for tree in trees for oid in _steady_calls(tree, functions)]
        if not calls:
            continue
        name, is_volatile = functions[calls[0]]
        function = quoted(name)
        reason = "its arguments are the same for all rows of a statement"
        yield SchemaLint(
            "policy-per-row",
            f"the policy {quoted(policy)} of {qualified} evaluates {function}() for each row that it filters",
            f"{reason}, and no index serves a volatile function" if is_volatile else reason,
            f"in a new migration: alter policy … on {qualified}, with (select {function}(…)): evaluated once",
            ((f"policy {policy} on {table}",),),
            table,
        )


def _conditions(using: str) -> list[Node]:
    """Return the conditions of a policy that must all be true."""
    tree = read_tree(using)
    return conjuncts(tree) if isinstance(tree, Node) else []


def _compares_with_value(condition: Node) -> bool:
    """Return whether a condition compares a column with a value that no column is part of."""
    args = condition.nodes("args")
    if condition.kind != "OPEXPR" or len(args) != 2:
        return False
    columns = [strip_relabel(arg).kind == "VAR" for arg in args]
    return sum(columns) == 1 and not _has_column(args[columns.index(False)])


def compares_with_call(condition: Node) -> bool:
    """Return whether a condition compares a column with a call, whose value the planner takes for its
    estimates. The value of a sub-select is not known to it.
    """
    calls = any(part.kind in _CALLS for part in expression_children(condition))
    return calls and _compares_with_value(condition)


def _hidden(condition: Node) -> bool:
    """Return whether a condition compares a column with a sub-select that reads no table."""
    args = condition.nodes("args")
    if condition.kind != "OPEXPR" or not any(strip_relabel(arg).kind == "VAR" for arg in args):
        return False
    for sublink in (part for arg in args for part in expression_children(arg) if part.kind == "SUBLINK"):
        query = sublink.node("subselect")
        tree = query.node("jointree") if query is not None else None
        if tree is not None and not tree.nodes("fromlist"):
            return True
    return False


def _steady_calls(tree: object, functions: dict[int, tuple[str, bool]]) -> Iterator[int]:
    """Yield the functions of an expression whose arguments have no column of a row.

    A sub-select is left out: without a column of the row, it is evaluated once in a statement.
    """
    if isinstance(tree, list):
        for each in tree:
            yield from _steady_calls(each, functions)
    elif isinstance(tree, Node) and tree.kind != "SUBLINK":
        if tree.kind == "FUNCEXPR" and tree.number("funcid") in functions and not _has_column(tree):
            yield tree.number("funcid")
            return
        for child in tree.children():
            yield from _steady_calls(child, functions)


def _has_column(tree: Node) -> bool:
    return any(node.kind in ("VAR", "SUBLINK") for node in tree.walk())
