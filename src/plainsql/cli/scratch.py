"""``plainsql scratch``: the databases on which queries were checked, and their removal."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import App, Parameter

from plainsql.analysis.scratch_database import drop_unlocked, scratch_server
from plainsql.analysis.scratch_records import NAME_PREFIX, ScratchDatabase, read_databases
from plainsql.cli.db.common import print_json
from plainsql.cli.exit_codes import FINDINGS, FINE
from plainsql.cli.tables import print_table
from plainsql.errors import SettingsError, printable
from plainsql.settings import Project

__all__ = ["app"]

_FLAG = Parameter(negative=(), show_default=False)

app = App(name="scratch", help="List and drop the databases on which queries were checked.")


@app.command(name="list")
def list_(*, scratch: str | None = None, json: Annotated[bool, _FLAG] = False) -> int:
    """List the scratch databases of a server: the project of each, the day of its last use, its roles.

    Exits with 0, or 2 if it could not run.

    Parameters
    ----------
    scratch
        URL of the server; by default the one named for scratch databases, else the embedded server.
    json
        Print JSON.
    """
    project = Project.load()
    with scratch_server(scratch, project) as (_, connection):
        found = read_databases(connection)
    if json:
        print_json([_as_json(each, project) for each in found])
    elif not found:
        print("no scratch databases")
    else:
        facts = [_as_json(each, project) for each in found]
        rows = [["" if v is None else printable(str(v)) for v in each.values()] for each in facts]
        print_table([*facts[0]], rows)
    return FINE


@app.command
def drop(*names: str, scratch: str | None = None, all: Annotated[bool, _FLAG] = False) -> int:
    """Drop scratch databases that are not in use, with the roles that their builds created.

    By default those of this project, and those that no project uses any more: the project's folder is gone
    from this machine, or the last use was more than 14 days ago. The next check builds what it needs again.

    Exits with 0 if they are dropped, 1 if one is in use or is another role's, 2 if it could not run.

    Parameters
    ----------
    names
        Only these databases, whosever they are.
    scratch
        URL of the server; by default the one named for scratch databases, else the embedded server.
    all
        All scratch databases of the server.
    """
    project = Project.load()
    with scratch_server(scratch, project) as (_, connection):
        found = read_databases(connection)
        unknown = [name for name in names if name not in {each.name for each in found}]
        if unknown:
            raise SettingsError(
                f"there is no scratch database {unknown[0]!r}",
                hint=f"their names begin with {NAME_PREFIX}: plainsql scratch list",
            )
        chosen = [
            each
            for each in found
            # One of this project's that is in use is tried too: a session that ends now is waited for.
            if (each.name in names if names else all or each.is_left or _is_own(each, project))
        ]
        kept = 0
        for each in chosen:
            if drop_unlocked(connection, each.name):
                print(f"dropped {each.name}")
            else:
                kept += 1
                print(f"kept {each.name}: it is in use, or belongs to another role ({each.owner})")
    if not chosen:
        print("nothing to drop")
    return FINDINGS if kept else FINE


def _state(database: ScratchDatabase, project: Project) -> str:
    """Return ``in use``, ``own`` (of this project), ``left`` (no project uses it) or ``other``."""
    if database.in_use:
        return "in use"
    if database.is_left:
        return "left"
    return "own" if _is_own(database, project) else "other"


def _is_own(database: ScratchDatabase, project: Project) -> bool:
    record = database.record
    return record is not None and record.is_of(str(project.root))


def _as_json(database: ScratchDatabase, project: Project) -> dict[str, Any]:
    record = database.record
    return {
        "database": database.name,
        "project": record.project if record else None,
        "host": record.host if record else None,
        "owner": database.owner,
        "used": record.used if record else None,
        "roles": " ".join(record.roles) if record else "",
        "state": _state(database, project),
    }
