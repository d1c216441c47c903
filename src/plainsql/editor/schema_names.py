"""The tables of a project's schema by the names that queries use."""

from __future__ import annotations

from collections.abc import Sequence

from plainsql.editor.edited_text import EditedText
from plainsql.review.model.sheets import ColumnSheet, TableSheet

__all__ = ["SchemaNames"]


class SchemaNames:
    """The tables and views of a scratch database."""

    def __init__(self, tables: Sequence[TableSheet] = (), search_path: Sequence[str] = ("public",)) -> None:
        self.tables = {table.name: table for table in tables}
        self._path = tuple(search_path)

    def table(self, name: str) -> TableSheet | None:
        """Return the table of a name with a schema, or without one by the search path."""
        if "." in name:
            return self.tables.get(name)
        return next((found for schema in self._path if (found := self.tables.get(f"{schema}.{name}"))), None)

    def written(self, table: TableSheet) -> str:
        """Return the name of a table as a query writes it: without a schema, if the search path has it."""
        schema, _, name = table.name.partition(".")
        return name if self.table(name) is table else f"{schema}.{name}"

    def in_schema(self, schema: str) -> list[TableSheet]:
        return [table for table in self.tables.values() if table.schema == schema]

    def of_alias(self, text: EditedText, alias: str) -> TableSheet | None:
        """Return the table that a statement calls by a name."""
        name = text.tables.get(alias)
        return self.table(name) if name is not None else None

    def column(
        self, text: EditedText, name: str, qualifier: str = ""
    ) -> tuple[TableSheet, ColumnSheet] | None:
        """Return the column of a name, in the table of its qualifier or in any table in scope."""
        for alias in [qualifier] if qualifier else text.tables:
            table = self.of_alias(text, alias)
            for column in table.columns if table is not None else ():
                if table is not None and column.name == name:
                    return table, column
        return None
