"""Exact export and import of rows, as JSON lines that end in a digest.

with plainsql.sync.connect(source) as db, create_file(Path("shop.jsonl")) as out:
    export_schemas(db.connection, ["realty"], out)
with plainsql.sync.connect(target) as db, open_file(Path("shop.jsonl")) as file:
    import_file(db.connection, file)
"""

from __future__ import annotations

from plainsql.transfer.data_files import create_file, open_file
from plainsql.transfer.errors import TransferError
from plainsql.transfer.export import export_schemas
from plainsql.transfer.import_ import import_file
from plainsql.transfer.reader import MAX_LINE_BYTES, check_file
from plainsql.transfer.results import OnReplace, OnRows, Replaced, Transferred

__all__ = [
    "MAX_LINE_BYTES",
    "OnReplace",
    "OnRows",
    "Replaced",
    "TransferError",
    "Transferred",
    "check_file",
    "create_file",
    "export_schemas",
    "import_file",
    "open_file",
]
