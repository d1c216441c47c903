"""``plainsql migrate verify``: every rollback is tried, on a scratch database."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from plainsql.cli.exit_codes import FINDINGS, FINE
from plainsql.cli.migrate_target import Target, guarded

if TYPE_CHECKING:
    from plainsql.migrate import Verification

__all__ = ["verify"]


def verify(
    *,
    folder: Annotated[Path | None, Parameter(name="--folder")] = None,
    layer: Annotated[tuple[str, ...], Parameter(name="--layer", negative=(), show_default=False)] = (),
    scratch: str | None = None,
    json: Annotated[bool, Parameter(negative=(), show_default=False)] = False,
) -> int:
    """Apply each migration, roll it back and apply it again on a scratch database; compare the schema.

    A rollback that leaves or loses something is named with the object, and so is a second run that makes
    another schema than the first. Rows are not compared. A rollback that keeps something on purpose says why:
    '-- keeps: REASON' at its top.

    Exits with 0 if every rollback is right, 1 if one is not, 2 if it could not run.

    Parameters
    ----------
    folder
        Folder of the migrations; by default that of pyproject.toml, or 'migrations'.
    layer
        Only this layer; repeat it for several, which run in that order.
    scratch
        URL of the server for the scratch database; by default the embedded server.
    json
        Print a JSON object and nothing else.
    """

    def run() -> int:
        from plainsql import migrate
        from plainsql.analysis.scratch_database import empty_databases, url_of
        from plainsql.cli.db.common import print_json

        target = Target(folder=folder, layer=layer)
        path = target.path
        with empty_databases(scratch) as new_database, new_database() as connection:
            try:
                found = migrate.verify(url_of(connection), path, layers=target.layers)
            except migrate.MigrationFailedError as error:
                where = "on the scratch database, which is dropped: no other database was changed"
                error.detail = f"{error.detail}\n        {where}" if error.detail else where
                raise
        if json:
            print_json(found)
            return FINE if found.is_fine else FINDINGS
        return _show_verification(found)

    return guarded(run)


def _show_verification(found: Verification) -> int:
    for difference in found.differences:
        print(difference)
    for name in found.without_rollback:
        print(f"{name}: no rollback, so it was only applied")
    for name, reason in found.kept:
        print(f"{name}: its rollback keeps something: {reason}")
    if found.not_run:
        print(f"not verified, because one before cannot be applied again: {', '.join(found.not_run)}")
    count = f"{len(found.verified)} migration{'' if len(found.verified) == 1 else 's'}"
    wrong = len({each.migration for each in found.differences})
    print(f"verified {count}: {wrong or 'none'} with differences; rows are not compared")
    return FINE if found.is_fine else FINDINGS
