"""``plainsql db``: check a database, clean it up, back it up, export and import its data, fill a layer."""

from __future__ import annotations

from cyclopts import App

from plainsql.cli.db.backup import backup
from plainsql.cli.db.cleanup import cleanup
from plainsql.cli.db.doctor import doctor
from plainsql.cli.db.drop import drop
from plainsql.cli.db.export import export
from plainsql.cli.db.import_ import import_
from plainsql.cli.db.indexes import indexes
from plainsql.cli.db.restore import restore
from plainsql.cli.db.sample import sample
from plainsql.cli.db.stats import stats

__all__ = ["app"]

app = App(
    name="db",
    help="""Check a database, clean it up, back it up, export and import its data, fill or remove a layer.

    Each command works on the layers that you name, or on all layers of the database. A layer is a schema with
    a folder of migrations. Exit codes: 0 fine; 1 it ran, and found something to act on; 2 it could not run;
    130 interrupted.
    """,
)
app.command(doctor)
app.command(stats)
app.command(indexes)
app.command(cleanup)
app.command(export)
app.command(import_, name="import")
app.command(backup)
app.command(restore)
app.command(sample)
app.command(drop)
