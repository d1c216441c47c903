"""The tables of copies: COPY refuses a view that an insert could write through."""

from __future__ import annotations

from typing import Any, Final

from plainsql.errors import ContractError
from plainsql.statements import Statement

__all__ = ["check_copied_table"]

_IS_VIEW: Final = """
select c.relkind = 'v' and not exists (
  select from pg_catalog.pg_trigger as t where t.tgrelid = c.oid and t.tgtype & 68 = 68
)
from pg_catalog.pg_class as c
where c.oid = pg_catalog.to_regclass((
  select string_agg(quote_ident(n.part), '.' order by n.number)
  from unnest(string_to_array(%s, '.')) with ordinality as n (part, number)
))
"""
"""Reports whether a relation is a view without a trigger ``instead of insert``."""


def check_copied_table(connection: Any, statement: Statement) -> None:
    """Raise ``ContractError`` if a statement copies into a view. The equivalent insert is accepted."""
    if not statement.returns.copied:
        return
    compiled: Any = statement.compiled
    found = connection.execute(_IS_VIEW, [compiled.table]).fetchone()
    if found is not None and found[0]:
        raise ContractError(
            f"{compiled.table} is a view, and COPY stores no rows in one",
            place=compiled.source.place(compiled.span[0]),
            hint="copy into its table, or give the view a trigger 'instead of insert'",
        )
