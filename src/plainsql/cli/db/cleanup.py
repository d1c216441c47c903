"""``plainsql db cleanup``: remove the rows that a layer declares disposable.

A layer declares them in SQL: each file of ``sql/<layer>/cleanup`` is one step. It returns the count of the
rows that it removed or archived. It takes their minimum age as ``:days`` or ``:before``, and the maximum
number of rows of one run as ``:limit``. The header's defaults of these apply unless an option is given.

If the steps are per tenant, a file ``tenants`` next to them lists the tenants. A role that sees all rows runs
the steps for one tenant after the other.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import psycopg
from cyclopts import Parameter

import plainsql.sync
from plainsql.cli.db.common import COMMON, FLAG, Common, Session, connected, print_json
from plainsql.cli.db.layer_selection import Layer, present_layers
from plainsql.cli.db.progress import Bars, bars
from plainsql.cli.exit_codes import FINE
from plainsql.cli.number_range import NumberRange
from plainsql.cli.project import values_of_tenant
from plainsql.cli.tables import Column, print_rows
from plainsql.errors import ContractError, Place, PlainsqlError
from plainsql.query import Query
from plainsql.query_folder import make_query
from plainsql.statements import Statement, parse
from plainsql.statements.discovery import read_text

__all__ = ["cleanup"]

_DEFAULT_DAYS: Final = 7
_DEFAULT_BATCH: Final = 1000
_TENANTS: Final = "tenants"
_INSUFFICIENT_PRIVILEGE: Final = "42501"

_Begin = Callable[[], AbstractContextManager[plainsql.sync.Transaction]]


@dataclass(frozen=True, slots=True)
class _Step:
    layer: str
    statement: Statement
    query: Query[..., Any, Any]
    tenants: tuple[Statement, Query[..., Any, Any]] | None
    """The query of the tenants, None if the step is not per tenant."""
    days: int
    batch: int

    @property
    def name(self) -> str:
        return self.statement.function


@dataclass(frozen=True, slots=True)
class _Done:
    layer: str
    step: str
    days: int
    rows: int
    batches: int
    seconds: float


_DAYS = NumberRange("an integer", 0, 2**31 - 1, "30")
_BATCH = NumberRange("an integer", 1, 2**31 - 1, "1000")


def cleanup(
    *layers: str,
    days: Annotated[int | None, Parameter(show_default=False, validator=_DAYS)] = None,
    batch: Annotated[int | None, Parameter(show_default=False, validator=_BATCH)] = None,
    dry_run: Annotated[bool, FLAG] = False,
    tenant: Annotated[str | None, Parameter(show_default=False)] = None,
    common: Common = COMMON,
) -> int:
    """Remove the disposable rows of each layer, by its files sql/LAYER/cleanup/*.sql.

    It runs in batches that commit one by one, so that you can interrupt it and start it again.

    Exits with 0 if it is done, also if there was nothing to do, 2 if it could not run.

    Parameters
    ----------
    layers
        The layers; by default all that the database has.
    days
        The minimum age of the rows for every step; by default the one in its file, else 7.
    batch
        Rows of one batch; by default the number in the step's file, else 1,000.
    dry_run
        Count only: all steps run in one transaction, which is rolled back.
    tenant
        Only rows of this tenant. Without it, the role must see the rows of all tenants.
    """
    with connected(common.database, search_path=None) as session:
        present = present_layers(session.connection, layers)
        steps = [step for layer in present for step in _steps(layer, days, batch)]
        with bars() as shown:
            if dry_run:
                done = _dry_run(session, steps, tenant, shown)
            else:
                done = [_run(session.db.transaction, step, tenant, shown) for step in steps]
    if common.json:
        print_json({"dry_run": dry_run, "layers": [layer.name for layer in present], "steps": done})
    else:
        _show(present, done, dry_run=dry_run)
    return FINE


def _steps(layer: Layer, days: int | None, batch: int | None) -> list[_Step]:
    steps = []
    folder = layer.sql / "cleanup"
    files = {path.stem: path for path in sorted(folder.glob("*.sql"))} if folder.is_dir() else {}
    tenants = _tenants(layer, files.pop(_TENANTS)) if _TENANTS in files else None
    for path in files.values():
        statement = _parsed(layer, path)
        shown = statement.path
        names = {parameter.name for parameter in statement.parameters}
        if statement.returns.kind != "count" or "limit" not in names or len(names & {"days", "before"}) != 1:
            raise ContractError(
                "this is not a step of a cleanup",
                place=Place(shown),
                hint="declare 'returns: count', with :limit and either :days or :before",
            )
        steps.append(
            _Step(
                layer.name,
                statement,
                make_query(statement),
                tenants,
                _default(statement, "days", _DEFAULT_DAYS) if days is None else days,
                _default(statement, "limit", _DEFAULT_BATCH) if batch is None else batch,
            )
        )
    return steps


def _parsed(layer: Layer, path: Path) -> Statement:
    return parse(read_text(path), name=f"{layer.name}.cleanup.{path.stem}", path=os.path.relpath(path))


def _tenants(layer: Layer, path: Path) -> tuple[Statement, Query[..., Any, Any]]:
    statement = _parsed(layer, path)
    if str(statement.returns) != "many value" or statement.parameters:
        raise ContractError(
            "this does not list the tenants of a cleanup",
            place=Place(statement.path),
            hint="declare 'returns: many value', without parameters",
        )
    return statement, make_query(statement)


def _default(statement: Statement, name: str, otherwise: int) -> int:
    for parameter in statement.parameters:
        if parameter.name == name and parameter.bounds is not None:
            default = parameter.bounds.default
            return default if isinstance(default, int) else otherwise
    return otherwise


@contextmanager
def _acting_for(begin: _Begin, tenant: str | None) -> Generator[plainsql.sync.Transaction]:
    """Begin a transaction for one tenant, or for all; the server then refuses to hide rows of some.

    The settings end with the transaction: behind a pooler the session is another client's a moment later.
    """
    settings = values_of_tenant(tenant or "")
    settings["row_security"] = "off" if tenant is None else "on"
    with begin() as tx:
        tx.connection.execute(
            "select set_config(s.name, s.value, true) from unnest(%s::text[], %s::text[]) as s (name, value)",
            [list(settings), list(settings.values())],
        )
        yield tx


@contextmanager
def _refusals(statement: Statement) -> Generator[None]:
    try:
        yield
    except psycopg.Error as error:
        if error.sqlstate != _INSUFFICIENT_PRIVILEGE:
            raise
        raise PlainsqlError(
            f"{statement.path}: {error.diag.message_primary}",
            hint="connect as a role that may change every tenant's rows, or name one: --tenant ID",
        ) from None


def _tenants_of(begin: _Begin, step: _Step, tenant: str | None) -> list[str | None]:
    """Return the tenants that a step runs for, one after the other; None is all of them at a time."""
    if tenant is not None or step.tenants is None:
        return [tenant]
    statement, query = step.tenants
    with _refusals(statement), _acting_for(begin, None) as tx:
        return [str(each) for each in query(tx)]


def _run(begin: _Begin, step: _Step, tenant: str | None, shown: Bars) -> _Done:
    """Run one step until it finds no more rows."""
    given: dict[str, object] = {"limit": step.batch}
    names = {parameter.name for parameter in step.statement.parameters}
    if "days" in names:
        given["days"] = step.days
    else:  # computed once, so that every batch means the same rows
        query = "select now() - make_interval(days => %s)"
        with begin() as tx:
            given["before"] = tx.connection.execute(query, [step.days]).fetchall()[0][0]
    began, rows, batches = time.perf_counter(), 0, 0
    label = f"{step.layer} {step.name}"
    for each in _tenants_of(begin, step, tenant):
        count = 1
        while count:
            with _refusals(step.statement), _acting_for(begin, each) as tx:
                count = step.query(tx, **given)
            if count:
                rows, batches = rows + count, batches + 1
                shown(label, rows, rows)
    return _Done(step.layer, step.name, step.days, rows, batches, round(time.perf_counter() - began, 3))


class _Undo(Exception):  # noqa: N818 - not an error: it ends a transaction
    """The end of a dry run, which rolls the transaction back."""


def _dry_run(session: Session, steps: Sequence[_Step], tenant: str | None, shown: Bars) -> list[_Done]:
    done: list[_Done] = []
    with suppress(_Undo), session.db.transaction() as tx:
        done += [_run(lambda: nullcontext(tx), step, tenant, shown) for step in steps]
        raise _Undo
    return done


def _show(layers: Sequence[Layer], done: Sequence[_Done], *, dry_run: bool) -> None:
    headings = [Column("layer"), Column("step"), Column("older than", right=True), Column("rows", right=True)]
    print_rows(headings, [[item.layer, item.step, f"{item.days} days", f"{item.rows:,}"] for item in done])
    for layer in layers:
        if layer.name not in {item.layer for item in done}:
            folder = "sql/cleanup" if layer.is_flat else f"sql/{layer.name}/cleanup"
            print(f"{layer.name}: nothing to clean up (it has no {folder})")
    if done:
        rows = sum(item.rows for item in done)
        print(
            f"{rows:,} rows would be cleaned up; nothing was changed"
            if dry_run
            else f"{rows:,} rows cleaned up"
        )
