"""The least grants of a project: all its queries, and what plainsql itself runs as the application."""

from __future__ import annotations

from pathlib import Path

from plainsql import statements
from plainsql.analysis.representative_variants import representative_variants
from plainsql.analysis.scratch_database import scratch_database
from plainsql.cache.outbox import OUTBOX, drain_statement
from plainsql.grants.least_grants import LeastGrants, least_grants
from plainsql.grants.needed_privileges import needed_privileges
from plainsql.schema import schema_source
from plainsql.settings import Project

__all__ = ["project_grants", "query_texts"]


def project_grants(project: Project, role: str, scratch: str | None = None) -> LeastGrants:
    """Return the least grants with which a role can run all queries of a project.

    If the schema has the cache's outbox, its consumer is one of the queries. ``role`` is the application's:
    if the migrations create it, the policies that name it count.

    Raises ``ContractError`` if the server refuses a query, ``SqlFileError`` if a file cannot be read, and
    what ``scratch_database`` raises.
    """
    texts = query_texts(project.sql_folder)
    with scratch_database(schema_source(project), scratch, project=project) as connection:
        row = connection.execute("select to_regclass(%s) is not null", (OUTBOX,)).fetchone()
        if row == (True,):
            texts["plainsql: the outbox of the cache"] = [drain_statement()]
        needs = needed_privileges(connection, texts, role=role)
        (shown,) = connection.execute("select quote_ident(%s)", (role,)).fetchone() or (role,)
        return least_grants(needs, shown)


def query_texts(folder: Path) -> dict[str, list[str]]:
    """Return the texts of each query below a folder: together they have every line of it.

    Raises ``SqlFileError`` if a file cannot be read.
    """
    return {
        name: [
            variant.sql
            for variant in representative_variants(
                statement.compiled, statement.variants(), independent=not statement.encryptions
            )
        ]
        for name, statement in statements.load(folder).items()
    }
