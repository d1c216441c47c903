"""``plainsql describe --jsonl``: statements with schemas of their own, a JSON object a line, for tools."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from plainsql.analysis import Analyser, Analysis, RefusedError
from plainsql.analysis.scratch import scratch_database
from plainsql.errors import PlainsqlError
from plainsql.statements import compile_body

__all__ = ["as_json", "describe_lines"]


class _Line(msgspec.Struct):
    id: Any = None
    schema: str = ""
    sql: str = ""


def describe_lines(lines: Iterable[bytes], database: str | None = None) -> Iterator[bytes]:
    """Yield one JSON line for each line that is not blank: what ``as_json`` makes, or an error.

    A line is ``{"id", "schema", "sql"}``: DDL, and one statement with ``:name`` parameters. Each is analysed
    in a transaction that is rolled back. A line that fails never stops the next.
    """
    with scratch_database(Path("/nonexistent"), database) as connection:
        connection.autocommit = False
        analyser: Analyser | None = None
        schema = ""
        try:
            for line in lines:
                if not line.strip():
                    continue
                asked = _Line()
                try:
                    asked = msgspec.json.decode(line, type=_Line)
                    if analyser is None or asked.schema != schema:
                        if analyser is not None:
                            _leave(connection, analyser)
                            analyser = None
                        schema = asked.schema
                        analyser = _enter(connection, schema)
                    variant = compile_body(asked.sql, name="", path="sql").variants()[-1]
                    try:
                        facts = as_json(analyser.analyse(variant.sql, variant.parameters))
                    except RefusedError as error:
                        raise _placed(error, variant.place(error.position or 1)) from None
                    yield msgspec.json.encode({"id": asked.id, **facts})
                except PlainsqlError as error:
                    yield msgspec.json.encode({"id": asked.id, "error": _error(error)})
                except msgspec.DecodeError as error:
                    message = f'expected {{"id", "schema", "sql"}}, got something else: {error}'
                    yield msgspec.json.encode({"id": asked.id, "error": {"message": message}})
                except Exception as error:  # noqa: BLE001 (the other lines go on)
                    if connection.closed:
                        raise
                    message = f"cannot be analysed: {type(error).__name__}"
                    yield msgspec.json.encode({"id": asked.id, "error": {"message": message}})
        finally:
            if not connection.closed:
                connection.rollback()


def as_json(analysis: Analysis) -> dict[str, Any]:
    """Return an analysis as plain values."""
    return {
        "parameters": [
            {"name": p.name, "type": str(p.type), "nullable": p.nullable} for p in analysis.parameters
        ],
        "columns": [
            {"name": c.name, "type": str(c.type), "nullable": c.nullable, "because": c.because}
            for c in analysis.columns
        ],
        "rows": analysis.rows,
        "reads": sorted({str(use) for use in analysis.reads}),
        "writes": sorted({str(use) for use in analysis.writes}),
        "read_only": analysis.read_only,
        "session_safe": analysis.session_safe,
    }


def _enter(connection: Any, schema: str) -> Analyser:
    connection.rollback()
    if schema.strip():
        try:
            connection.execute(schema.encode())
        except Exception as error:
            connection.rollback()
            diagnosis = getattr(error, "diag", None)
            raise RefusedError(
                f"the schema is refused: {getattr(diagnosis, 'message_primary', None) or error}",
                sqlstate=getattr(error, "sqlstate", None),
                detail=getattr(diagnosis, "message_detail", None),
                hint=getattr(diagnosis, "message_hint", None),
            ) from None
    return Analyser(connection)


def _leave(connection: Any, analyser: Analyser) -> None:
    # The rollback undoes the settings as well: they are transactional.
    connection.rollback()
    analyser.close()


def _placed(error: RefusedError, place: Any) -> PlainsqlError:
    placed = RefusedError(
        error.message, sqlstate=error.sqlstate, position=error.position, detail=error.detail, hint=error.hint
    )
    placed.place = place
    return placed


def _error(error: PlainsqlError) -> dict[str, Any]:
    facts = {
        "message": error.message,
        "sqlstate": getattr(error, "sqlstate", None),
        "line": error.place.line if error.place else None,
        "column": error.place.column if error.place else None,
        "detail": error.detail,
        "hint": error.hint,
    }
    return {name: value for name, value in facts.items() if value is not None}
