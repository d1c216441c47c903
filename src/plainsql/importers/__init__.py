"""The SQL files of aiosql, sqlc and pgtyped as files of plainsql.

A file goes through these modules in this order: ``blocks`` divides it at the marks of its queries,
``aiosql``, ``sqlc`` and ``pgtyped`` read a mark and rewrite the parameters, ``shape`` finds what a statement
returns, ``query_file`` writes the header and has the parser of ``statements`` confirm the whole, and
``folder_import`` decides on the paths and writes.

The scanner of ``statements`` divides every text: a mark or a parameter in a string is none.
"""

from __future__ import annotations

from plainsql.importers.folder_import import TOOLS, Import, import_files

__all__ = ["TOOLS", "Import", "import_files"]
