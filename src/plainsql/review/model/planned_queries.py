"""The plans of all queries, from one copy of production; they are kept in a file until something changes.

A query is planned again if its text, a definition that it uses, the statistics or the planning itself have
changed. If nothing has, no copy is made.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from importlib.resources import files
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final

import msgspec

import plainsql.plans
from plainsql.analysis.catalog.definitions import Definitions
from plainsql.codegen import Checked
from plainsql.errors import BindError, ContractError
from plainsql.plans.copy.plan_database import PlanDatabase, open_plan_database
from plainsql.plans.explain.explained_query import ExplainedQuery, explain_statement
from plainsql.plans.statistics.statistics_folder import statistics_folder
from plainsql.review.model.kept_results import kept_file, modules_in, read_kept, write_kept
from plainsql.settings import Project

__all__ = ["PlannedQueries", "indexes_used", "plan_queries"]

_MAX_CONNECTIONS: Final = 4
_MAX_VARIANTS: Final = 16
_AGE: Final = "the statistics are "
"""The beginning of the note that counts days: the pages name the day of the statistics instead."""


class PlannedQueries(msgspec.Struct, frozen=True):
    """The plans of a project's queries."""

    queries: dict[str, ExplainedQuery] = {}
    """By the name of the query; a query that cannot be planned is missing."""
    notes: tuple[str, ...] = ()
    """The limits of the plans, one sentence each."""


class _Kept(msgspec.Struct):
    """The content of the file."""

    copy: str
    """The digest of what the copy was made from."""
    notes: tuple[str, ...]
    queries: dict[str, ExplainedQuery]
    """By the digest of what the plans depend on."""


def plan_queries(
    project: Project, checked: Sequence[Checked], connection: Any, *, no_cache: bool = False
) -> PlannedQueries:
    """Return the plans of a project's queries.

    Args:
        project: the settings of the project.
        checked: the queries that the server accepts.
        connection: a connection to the scratch database, whose definitions the plans depend on.
        no_cache: plan all of them again.

    Raises what ``open_plan_database`` raises.
    """
    file = kept_file(project, "plans")
    copy = _digest_of_copy(project)
    definitions = Definitions(connection)
    keys = {item.statement.name: _key(item, copy, definitions) for item in checked}
    kept = _Kept(copy, (), {}) if no_cache else _read(file, copy)
    missing = [item for item in checked if keys[item.statement.name] not in kept.queries]
    if missing or not kept.queries:
        with open_plan_database(project) as database:
            kept.notes = tuple(note for note in database.notes if not note.startswith(_AGE))
            found = _explain(project, database, missing)
        kept.queries |= {keys[name]: explained for name, explained in found.items()}
    kept.queries = {key: kept.queries[key] for key in keys.values() if key in kept.queries}
    if missing:
        write_kept(file, kept)
    return PlannedQueries(
        {name: kept.queries[key] for name, key in keys.items() if key in kept.queries}, kept.notes
    )


def _explain(
    project: Project, database: PlanDatabase, checked: Sequence[Checked]
) -> dict[str, ExplainedQuery]:
    """Explain queries on several connections: the server's processes plan at the same time."""
    roles = database.stats.production.roles if database.stats is not None else None
    found: dict[str, ExplainedQuery] = {}
    with ExitStack() as stack:
        idle: SimpleQueue[Any] = SimpleQueue()
        count = max(1, min(_MAX_CONNECTIONS, os.cpu_count() or 1, len(checked)))
        for _ in range(count):
            idle.put(stack.enter_context(closing(database.connect())))

        def explain(item: Checked) -> None:
            analysis, connection = item.analysis, idle.get()
            joined = analysis.by_key and analysis.read_only and analysis.session_safe
            try:
                with suppress(ContractError, BindError):
                    found[item.statement.name] = explain_statement(
                        connection,
                        item.statement,
                        search_path=project.search_path,
                        role_settings=roles,
                        own=True,
                        joined=joined and not analysis.lost_by_batching,
                        max_variants=_MAX_VARIANTS,
                    )
            finally:
                idle.put(connection)

        pool = stack.enter_context(ThreadPoolExecutor(count, thread_name_prefix="plainsql-review"))
        stack.callback(pool.shutdown, wait=False, cancel_futures=True)  # after an error, or Ctrl-C
        for _ in pool.map(explain, checked):
            pass
    return found


def _key(item: Checked, copy: str, definitions: Definitions) -> str:
    """Return the digest of everything that the plans of a query depend on."""
    statement = item.statement
    texts = [variant.sql for variant in statement.variants()]
    digest = hashlib.blake2b(copy.encode(), digest_size=16)
    for text in (statement.name, statement.source, *texts, definitions.digest_for(texts)):
        digest.update(f"{text}\0".encode())
    return digest.hexdigest()


def _digest_of_copy(project: Project) -> str:
    """Return the digest of the statistics, the settings, and the code that plans."""
    digest = hashlib.blake2b(f"{_MAX_VARIANTS} {project.search_path}".encode(), digest_size=16)
    folder = statistics_folder(project)
    for file in sorted(folder.rglob("*")) if folder is not None else ():
        if file.is_file():
            digest.update(f"{file.relative_to(folder or file).as_posix()}\0".encode() + file.read_bytes())
    for module in modules_in(files(plainsql.plans)):
        digest.update(module.read_bytes())
    return digest.hexdigest()


def _read(file: Path, copy: str) -> _Kept:
    kept = read_kept(file, _Kept)
    # Without the file, or from another copy, everything is planned.
    return kept if kept is not None and kept.copy == copy else _Kept(copy, (), {})


def indexes_used(explained: ExplainedQuery) -> frozenset[str]:
    """Return the names of the indexes in the plans that run, without their schemas."""
    return frozenset(
        node.index
        for variant in explained.plans.variants
        for plan in (*(plan for _, plan in variant.running), variant.joined)
        if plan is not None
        for node in plan.walk()
        if node.index
    )
