"""The parameters of a call as its caller gave them.

An executor gets what is sent, in the order of the SQL: composite values as tuples, own types converted, a
list of rows as a list for each column. The query's method that calls the executor still has what was given.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping, Sequence
from types import CodeType, FrameType
from typing import Any, Final

from plainsql.query import Args, CompiledQuery, PagedQuery, Query
from plainsql.query.pages import PageArgs, PageCalls
from plainsql.statements.row_parameters import rows_of
from plainsql.types import UNSET

__all__ = ["given", "given_sets"]

_CALLS: Final = {
    each.__code__
    for each in (
        Query.__call__,
        Query.columns,
        Query.fresh,
        Query.stream,
        Query.stream_columns,
        PagedQuery.page,
    )
}
_SETS: Final = {Query.batch.__code__, Query.execute_many.__code__}


def given(query: CompiledQuery[Any, Any], args: Args) -> Mapping[str, Any]:
    """Return the parameters of a call; of another caller than a query's method, as they are sent."""
    frame = _frame(_CALLS)
    if frame is not None and frame.f_locals["self"].name == query.name:
        return dict(frame.f_locals["kwargs"])
    return _named(query, args)


def given_sets(query: CompiledQuery[Any, Any], sets: Sequence[Args]) -> list[Mapping[str, Any]]:
    """Return the sets of parameters as the caller gave them; of an iterator, as they are sent."""
    frame = _frame(_SETS)
    if frame is not None and isinstance(sets_ := frame.f_locals["sets"], Collection):
        return [dict(each) for each in sets_]
    return [_named(query, args) for args in sets]


def _frame(codes: set[CodeType]) -> FrameType | None:
    """Return the frame of a query's method that has called the fake."""
    frame = sys._getframe(3)  # above: this one, `given`, and the method of the fake
    if frame.f_code is PageCalls.page.__code__ and frame.f_back is not None:
        frame = frame.f_back
    return frame if frame.f_code in codes else None


def _named(query: CompiledQuery[Any, Any], args: Any) -> Mapping[str, Any]:
    """Return what is sent by the names of the parameters, without those that are not given."""
    args = args.values if isinstance(args, PageArgs) else args
    found = {name: value for name, value in zip(query.parameters, args, strict=True) if value is not UNSET}
    for rows, fields in rows_of(query.parameters).items():
        lists: list[Any] = [found.pop(f"{rows}.{field}", ()) for field in fields]
        found[rows] = list(zip(*lists, strict=True))
    return found
