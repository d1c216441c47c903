"""``plainsql db``: look at a database, clean it up, take its data out and in, remove a layer."""

from __future__ import annotations

from cyclopts import App

from plainsql.cli.db.cleanup import cleanup
from plainsql.cli.db.doctor import doctor
from plainsql.cli.db.drop import drop
from plainsql.cli.db.export import export
from plainsql.cli.db.import_ import import_
from plainsql.cli.db.stats import stats

__all__ = ["app"]

app = App(
    name="db",
    help="""Look at a database, clean it up, take its data out and in, remove a layer.

    Each command works on the layers that are named, or on all that the database has: a layer is a schema with
    a folder of migrations. Exit codes: 0 fine; 1 it ran, and found something to act on; 2 it could not run;
    130 interrupted.
    """,
)
app.command(doctor)
app.command(stats)
app.command(cleanup)
app.command(export)
app.command(import_, name="import")
app.command(drop)
