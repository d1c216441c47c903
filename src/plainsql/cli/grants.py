"""``plainsql grants``: the least privileges that the queries need, and what a role has in comparison."""

from __future__ import annotations

import sys
from typing import Annotated

from cyclopts import Parameter

from plainsql.cli.db.common import connected, print_json
from plainsql.cli.exit_codes import FINDINGS, FINE
from plainsql.cli.project import load_project
from plainsql.errors import SettingsError, printable
from plainsql.grants.held_privileges import Comparison, compare_grants, correction
from plainsql.grants.least_grants import grant_statements
from plainsql.grants.project_grants import project_grants

__all__ = ["grants"]

_FLAG = Parameter(negative=(), show_default=False)


def grants(
    *,
    role: str,
    database: str | None = None,
    scratch: str | None = None,
    queries: Annotated[bool, _FLAG] = False,
    json: Annotated[bool, _FLAG] = False,
) -> int:
    """Print the least grants with which a role can run all queries, as SQL.

    With --database, print the SQL that makes the grants of the role the least ones: what it lacks, with the
    queries that fail, and what no query needs. Nothing is changed.

    Exits with 0 if it is printed or nothing differs, 1 if the role lacks something or has more than it needs,
    2 if it could not run.

    Parameters
    ----------
    role
        The role that the application connects as.
    database
        URL of a database to compare with; any role can read what is compared.
    scratch
        URL of a server to build the scratch database on; by default the one named for it, else the embedded
        server.
    queries
        Print the queries that need each privilege, as comments.
    json
        Print JSON, with the queries.
    """
    if not role:
        raise SettingsError(
            "--role: expected the name of a role, got nothing", hint="for example: --role app"
        )
    least = project_grants(load_project(), role, scratch)
    if database is None:
        if json:
            print_json(least)
        else:
            print(printable("\n".join(grant_statements(least, queries=queries))))
        return FINE
    with connected(database) as session:
        comparison = compare_grants(session.connection, least, role)
    if json:
        print_json(comparison)
    else:
        for text in correction(comparison, least):
            print(printable(text))
        print(_summary(comparison), file=sys.stderr)
    definite = [each for each in comparison.wider if not each.perhaps]
    found = (
        comparison.is_superuser,
        comparison.missing,
        comparison.absent,
        comparison.powers,
        definite,
    )
    return FINDINGS if any(found) else FINE


def _summary(comparison: Comparison) -> str:
    if comparison.is_superuser:
        return f"{comparison.role} is a superuser: no grant limits it\nHINT: connect as a role of its own"
    perhaps = sum(bool(each.perhaps) for each in comparison.wider)
    counts = [
        f"{len(comparison.missing)} missing",
        f"{len(comparison.wider) - perhaps + len(comparison.powers)} wider than the queries need",
        f"{perhaps + len(comparison.unknown)} not judged",
    ]
    lines = [f"{comparison.role}: {', '.join(counts)}"]
    lines += [f"{name}: the database has no such object" for name in comparison.absent]
    return printable("\n".join(lines))
