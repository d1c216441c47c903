"""The sources of a schema, one module each; `schema_source` is their interface."""

from __future__ import annotations

from plainsql.schema.choice import schema_source
from plainsql.schema.schema_source import SchemaSource

__all__ = ["SchemaSource", "schema_source"]
