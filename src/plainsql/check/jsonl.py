"""``plainsql describe --jsonl``: statements with schemas of their own, one JSON object per line, for
tools.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import Any

import msgspec

from plainsql.analysis import Analysis, RefusedError
from plainsql.analysis.merge import merge_variants
from plainsql.analysis.model import ParameterFact
from plainsql.analysis.representative_variants import representative_variants
from plainsql.analysis.sandbox import Sandbox
from plainsql.analysis.scratch_database import empty_databases
from plainsql.check.statement_errors import placed_refusal
from plainsql.errors import ConnectError, PlainsqlError
from plainsql.statements import compile_body

__all__ = ["as_json", "describe_lines", "parameters_as_json"]


class _Line(msgspec.Struct):
    id: Any = None
    schema: str = ""
    sql: str = ""


def describe_lines(lines: Iterable[bytes], scratch: str | None = None) -> Iterator[bytes]:
    """Yield one JSON line for each line that is not blank: the result of ``as_json``, or an error.

    A line is ``{"id", "schema", "sql"}``: DDL, and one statement with ``:name`` parameters. Each schema is
    made in a transaction that is rolled back. A line that fails does not affect the next one.
    """
    with empty_databases(scratch) as new_database, closing(Sandbox(new_database)) as sandbox:
        for line in lines:
            if not line.strip():
                continue
            id = None
            try:
                value = msgspec.json.decode(line)
                id = value.get("id") if isinstance(value, dict) else None
                facts = _describe(sandbox, msgspec.convert(value, _Line))
                yield msgspec.json.encode({"id": id, **facts})
            except PlainsqlError as error:
                if isinstance(error, ConnectError):  # the server is gone, and all lines with it
                    raise
                yield msgspec.json.encode({"id": id, "error": _error(error)})
            except msgspec.DecodeError as error:
                message = f'expected {{"id", "schema", "sql"}}, got something else: {error}'
                yield msgspec.json.encode({"id": id, "error": {"message": message}})
            except Exception as error:  # noqa: BLE001 (the other lines go on)
                sandbox.drop_schema()
                message = f"cannot be analysed: {type(error).__name__}"
                yield msgspec.json.encode({"id": id, "error": {"message": message}})


def _describe(sandbox: Sandbox, asked: _Line) -> dict[str, Any]:
    analyser = sandbox.create_schema(asked.schema)
    analyses = []
    compiled = compile_body(asked.sql, name="", path="sql")
    for variant in representative_variants(compiled, compiled.variants()):
        try:
            analyses.append(analyser.analyse(variant.sql, variant.parameters))
        except RefusedError as error:
            raise placed_refusal(error, variant) from None
    return as_json(merge_variants(analyses))


def parameters_as_json(facts: Iterable[ParameterFact]) -> list[dict[str, Any]]:
    """Return the facts about parameters as plain values."""
    return [{"name": fact.name, "type": str(fact.type), "nullable": fact.nullable} for fact in facts]


def as_json(analysis: Analysis) -> dict[str, Any]:
    """Return an analysis as plain values."""
    return {
        "parameters": parameters_as_json(analysis.parameters),
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
