"""The analysis of statements by PostgreSQL: what each query takes, returns, reads and writes."""

from __future__ import annotations

from plainsql.analysis.analyser import Analyser
from plainsql.analysis.describer import RefusedError
from plainsql.analysis.findings.applicable import applicable
from plainsql.analysis.model import (
    Analysis,
    Attribute,
    ColumnFact,
    ColumnRef,
    Finding,
    ParameterFact,
    PgType,
    TableUse,
)

__all__ = [
    "Analyser",
    "Analysis",
    "Attribute",
    "ColumnFact",
    "ColumnRef",
    "Finding",
    "ParameterFact",
    "PgType",
    "RefusedError",
    "TableUse",
    "applicable",
]
